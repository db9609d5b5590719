//! Finds the layout of this kernel's structs in BTF: the value of each global in
//! `backlog-ebpf/src/kernel/globals.rs`. Pure: a [`Btf`] in, a table of values out.

use anyhow::{Result, bail};
use backlog_ebpf::ABSENT;

use crate::host::kernel::btf::Btf;

/// Where the value of a global comes from.
enum Source {
    /// The byte offset of a field.
    Offset(&'static str, &'static str),
    /// The byte offset of a field, if it is a plain integer and not an atomic.
    Number(&'static str, &'static str),
    /// The mask of a bitfield within its byte.
    Mask(&'static str, &'static str),
    /// The lowest bit of that mask.
    LowestBit(&'static str, &'static str),
    /// The sum of two byte offsets minus a third: from one member of a struct to
    /// a field of another member.
    Across([(&'static str, &'static str); 3]),
    /// The index of a counter.
    Counter(&'static str),
}

/// Which backends can work without a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// None can.
    All,
    /// All but the tracepoint backend.
    Tracepoints,
    /// All can: the feature that needs it is then missing from this kernel.
    None,
}

/// A global, its source, and how necessary it is.
struct Entry {
    global: &'static str,
    source: Source,
    need: Need,
}

const fn offset(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Offset(structure, path), need: Need::All }
}

const fn optional(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Offset(structure, path), need: Need::None }
}

/// A value that only the tracepoint backend needs.
const fn fallback(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Offset(structure, path), need: Need::Tracepoints }
}

const fn optional_mask(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Mask(structure, path), need: Need::None }
}

const fn mask(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Mask(structure, path), need: Need::All }
}

const fn counter(global: &'static str, name: &'static str) -> Entry {
    Entry { global, source: Source::Counter(name), need: Need::All }
}

/// Where `pt_regs` holds the first two arguments of a system call and its number. The last field
/// determines the size of `pt_regs`, which lies at the top of the kernel stack.
#[cfg(target_arch = "x86_64")]
const REGS_FIRST: &str = "di";
#[cfg(target_arch = "x86_64")]
const REGS_SECOND: &str = "si";
#[cfg(target_arch = "x86_64")]
const REGS_LAST: &str = "ss";
#[cfg(target_arch = "x86_64")]
const REGS_NUMBER: &str = "orig_ax";
/// The same for a 32-bit system call, and the flag that marks one.
#[cfg(target_arch = "x86_64")]
const REGS_32_FIRST: &str = "bx";
#[cfg(target_arch = "x86_64")]
const REGS_32_SECOND: &str = "cx";
#[cfg(target_arch = "x86_64")]
const TASK_STATUS: &str = "thread_info.status";
#[cfg(not(target_arch = "x86_64"))]
const REGS_FIRST: &str = "orig_x0";
#[cfg(not(target_arch = "x86_64"))]
const REGS_SECOND: &str = "regs[1]";
// There is no fallback on this architecture: the kernel must have the helper `bpf_task_pt_regs`.
#[cfg(not(target_arch = "x86_64"))]
const REGS_LAST: &str = "";
#[cfg(not(target_arch = "x86_64"))]
const REGS_NUMBER: &str = "syscallno";
// This architecture has other system call numbers and another marker.
#[cfg(not(target_arch = "x86_64"))]
const REGS_32_FIRST: &str = "";
#[cfg(not(target_arch = "x86_64"))]
const REGS_32_SECOND: &str = "";
#[cfg(not(target_arch = "x86_64"))]
const TASK_STATUS: &str = "";

const ENTRIES: &[Entry] = &[
    offset("SKC_DADDR", "sock_common", "skc_daddr"),
    offset("SKC_RCV_SADDR", "sock_common", "skc_rcv_saddr"),
    offset("SKC_DPORT", "sock_common", "skc_dport"),
    offset("SKC_NUM", "sock_common", "skc_num"),
    offset("SKC_FAMILY", "sock_common", "skc_family"),
    offset("SKC_STATE", "sock_common", "skc_state"),
    offset("SKC_NET", "sock_common", "skc_net.net"),
    // Only with CONFIG_IPV6; without it, no socket has that family.
    optional("SKC_V6_DADDR", "sock_common", "skc_v6_daddr"),
    optional("SKC_V6_RCV_SADDR", "sock_common", "skc_v6_rcv_saddr"),
    offset("SKC_LISTENER", "sock_common", "skc_listener"),
    offset("SKC_COOKIE", "sock_common", "skc_cookie"),
    offset("SKC_NULLS_PPREV", "sock_common", "skc_nulls_node.pprev"),
    fallback("SKC_BIND_NODE", "sock_common", "skc_bind_node"),
    offset("SKC_BITS", "sock_common", "skc_reuseport"),
    mask("SKC_REUSEPORT_MASK", "sock_common", "skc_reuseport"),
    mask("SKC_V6ONLY_MASK", "sock_common", "skc_ipv6only"),
    offset("SK_ACK_BACKLOG", "sock", "sk_ack_backlog"),
    offset("SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    offset("SK_DROPS", "sock", "sk_drops"),
    offset("SK_PROTOCOL", "sock", "sk_protocol"),
    // Only with CONFIG_CGROUPS, and CONFIG_SOCK_CGROUP_DATA; some stable kernels before 5.15 store
    // a packed number there.
    optional("SK_CGROUP", "sock", "sk_cgrp_data.cgroup"),
    optional("CGROUP_NODE", "cgroup", "kn"),
    optional("CGROUP_LEVEL", "cgroup", "level"),
    optional("CGROUP_ANCESTORS", "cgroup", "ancestors"),
    optional("CGROUP_ANCESTOR_IDS", "cgroup", "ancestor_ids"),
    optional("NODE_ID", "kernfs_node", "id"),
    fallback("SK_SHUTDOWN", "sock", "sk_shutdown"),
    offset("SK_SOCKET", "sock", "sk_socket"),
    offset("ICSK_SYN_QUEUE", "inet_connection_sock", "icsk_accept_queue.qlen"),
    offset("ICSK_FASTOPEN_LIMIT", "inet_connection_sock", "icsk_accept_queue.fastopenq.max_qlen"),
    offset("ICSK_SYN_RETRIES", "inet_connection_sock", "icsk_syn_retries"),
    fallback("ICSK_ACCEPT_HEAD", "inet_connection_sock", "icsk_accept_queue.rskq_accept_head"),
    optional("ICSK_ULP_DATA", "inet_connection_sock", "icsk_ulp_data"),
    offset("TP_FASTOPEN_RSK", "tcp_sock", "fastopen_rsk"),
    offset("TP_COPIED_SEQ", "tcp_sock", "copied_seq"),
    offset("TP_RCV_NXT", "tcp_sock", "rcv_nxt"),
    offset("TP_MSTAMP", "tcp_sock", "tcp_mstamp"),
    // Only with CONFIG_MPTCP.
    optional("TP_IS_MPTCP", "tcp_sock", "is_mptcp"),
    optional_mask("TP_IS_MPTCP_MASK", "tcp_sock", "is_mptcp"),
    optional("SUBFLOW_JOIN", "mptcp_subflow_context", "mp_join"),
    optional_mask("SUBFLOW_JOIN_MASK", "mptcp_subflow_context", "mp_join"),
    offset("SOCKET_SK", "socket", "sk"),
    Entry {
        global: "SOCKET_INO",
        source: Source::Across([
            ("socket_alloc", "vfs_inode"),
            ("inode", "i_ino"),
            ("socket_alloc", "socket"),
        ]),
        need: Need::All,
    },
    offset("NET_INUM", "net", "ns.inum"),
    offset("NET_HASH_MIX", "net", "hash_mix"),
    Entry { global: "NET_COOKIE", source: Source::Number("net", "net_cookie"), need: Need::None },
    // Without CONFIG_SYSFS the programs cannot tell that a namespace is new.
    optional("NET_LOOPBACK", "net", "loopback_dev"),
    optional("DEVICE_NODE", "net_device", "dev.kobj.sd"),
    optional("NODE_ROOT", "kernfs_node", "dir.root"),
    optional("KERNFS_HIGH", "kernfs_root", "id_highbits"),
    optional("KERNFS_LOW", "kernfs_root", "last_id_lowbits"),
    offset("NET_STATISTICS", "net", "mib.net_statistics"),
    offset("TCP_STATISTICS", "net", "mib.tcp_statistics"),
    offset("NET_SYNACK_RETRIES", "net", "ipv4.sysctl_tcp_synack_retries"),
    offset("NET_ABORT_ON_OVERFLOW", "net", "ipv4.sysctl_tcp_abort_on_overflow"),
    offset("NET_SYNCOOKIES", "net", "ipv4.sysctl_tcp_syncookies"),
    offset("NET_SOMAXCONN", "net", "core.sysctl_somaxconn"),
    fallback("NET_MAX_SYN_BACKLOG", "net", "ipv4.sysctl_max_syn_backlog"),
    fallback("REQ_NEXT", "request_sock", "dl_next"),
    offset("REQ_SK", "request_sock", "sk"),
    offset("REQ_TIMER", "request_sock", "rsk_timer"),
    offset("REQ_TIMEOUTS", "request_sock", "num_timeout"),
    mask("REQ_TIMEOUTS_MASK", "request_sock", "num_timeout"),
    Entry {
        global: "REQ_TIMEOUTS_ONE",
        source: Source::LowestBit("request_sock", "num_timeout"),
        need: Need::All,
    },
    offset("TREQ_RCV_ISN", "tcp_request_sock", "rcv_isn"),
    offset("SKB_HEAD", "sk_buff", "head"),
    offset("SKB_NETWORK_HEADER", "sk_buff", "network_header"),
    offset("SKB_TRANSPORT_HEADER", "sk_buff", "transport_header"),
    offset("SKB_PROTOCOL", "sk_buff", "protocol"),
    // Only with CONFIG_MPTCP.
    optional("MPTCP_FIRST", "mptcp_sock", "first"),
    fallback("SKB_DST", "sk_buff", "_skb_refdst"),
    fallback("DST_DEV", "dst_entry", "dev"),
    fallback("NETDEV_NET", "net_device", "nd_net.net"),
    fallback("TASK_FILES", "task_struct", "files"),
    fallback("TASK_NSPROXY", "task_struct", "nsproxy"),
    fallback("NSPROXY_NET", "nsproxy", "net_ns"),
    fallback("FILES_FDT", "files_struct", "fdt"),
    fallback("FDT_FD", "fdtable", "fd"),
    fallback("FDT_MAX", "fdtable", "max_fds"),
    fallback("FILE_PRIVATE", "file", "private_data"),
    fallback("PT_REGS_FIRST", "pt_regs", REGS_FIRST),
    optional("PT_REGS_SECOND", "pt_regs", REGS_SECOND),
    optional("PT_REGS_LAST", "pt_regs", REGS_LAST),
    optional("TASK_STACK", "task_struct", "stack"),
    fallback("PT_REGS_NUMBER", "pt_regs", REGS_NUMBER),
    optional("PT_REGS_32_FIRST", "pt_regs", REGS_32_FIRST),
    optional("PT_REGS_32_SECOND", "pt_regs", REGS_32_SECOND),
    optional("TASK_STATUS", "task_struct", TASK_STATUS),
    optional("TASK_LEADER", "task_struct", "group_leader"),
    optional("TASK_COMM", "task_struct", "comm"),
    // Only with CONFIG_IO_URING.
    optional("URING_FILE", "io_kiocb", "file"),
    optional("URING_OPCODE", "io_kiocb", "opcode"),
    offset("BPF_ARRAY_PPTRS", "bpf_array", "pptrs"),
    counter("MIB_LISTEN_OVERFLOWS", "LINUX_MIB_LISTENOVERFLOWS"),
    counter("MIB_LISTEN_DROPS", "LINUX_MIB_LISTENDROPS"),
    counter("MIB_REQQ_FULL_DROP", "LINUX_MIB_TCPREQQFULLDROP"),
    counter("MIB_SYNCOOKIES_SENT", "LINUX_MIB_SYNCOOKIESSENT"),
    counter("MIB_REQQ_FULL_COOKIES", "LINUX_MIB_TCPREQQFULLDOCOOKIES"),
    counter("MIB_SYNCOOKIES_RECV", "LINUX_MIB_SYNCOOKIESRECV"),
    counter("MIB_SYNCOOKIES_FAILED", "LINUX_MIB_SYNCOOKIESFAILED"),
    counter("MIB_FASTOPEN_FULL", "LINUX_MIB_TCPFASTOPENLISTENOVERFLOW"),
    counter("MIB_FASTOPEN_FAILED", "LINUX_MIB_TCPFASTOPENPASSIVEFAIL"),
    counter("MIB_PASSIVE_OPENS", "TCP_MIB_PASSIVEOPENS"),
    counter("MIB_EMBRYONIC_RSTS", "LINUX_MIB_EMBRYONICRSTS"),
];

/// The values of all globals that describe the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    values: Vec<(&'static str, u32)>,
    /// Fields that the tracepoint backend needs and BTF lacks.
    lacking: Vec<String>,
}

impl Layout {
    /// Finds every value; the error lists all required ones that are missing.
    pub(crate) fn find(btf: &Btf) -> Result<Self> {
        let (layout, missing) = Self::survey(btf);
        if !missing.is_empty() {
            bail!(
                "this kernel's type information lacks {}: backlog-trace does not know this kernel \
                 yet, please report its `uname -r`",
                missing.join(", ")
            );
        }
        Ok(layout)
    }

    /// Finds the values, and lists the required ones that are missing.
    fn survey(btf: &Btf) -> (Self, Vec<String>) {
        let names: Vec<&str> = ENTRIES
            .iter()
            .filter_map(|entry| match entry.source {
                Source::Counter(name) => Some(name),
                _ => None,
            })
            .collect();
        let counters = btf.enum_values(&names);
        let byte = |(structure, path)| Some(btf.field(structure, path)?.byte);
        let mut values = Vec::with_capacity(ENTRIES.len());
        let (mut missing, mut lacking) = (Vec::new(), Vec::new());
        for Entry { global, source, need } in ENTRIES {
            let value = match source {
                Source::Offset(structure, path) => byte((structure, path)),
                Source::Number(structure, path) => {
                    let counter = format!("{path}.counter");
                    byte((structure, path)).filter(|_| btf.field(structure, &counter).is_none())
                }
                Source::Mask(structure, path) => {
                    btf.field(structure, path).map(|field| u32::from(field.mask))
                }
                Source::LowestBit(structure, path) => btf
                    .field(structure, path)
                    .map(|field| u32::from(field.mask & field.mask.wrapping_neg())),
                Source::Across([first, second, base]) => byte(*first)
                    .zip(byte(*second))
                    .zip(byte(*base))
                    .map(|((first, second), base)| first + second - base),
                Source::Counter(name) => counters.get(*name).copied(),
            };
            match need {
                Need::All if value.is_none() => missing.push(source.describe()),
                Need::Tracepoints if value.is_none() => lacking.push(source.describe()),
                _ => {}
            }
            values.push((*global, value.unwrap_or(ABSENT)));
        }
        let arguments = |tracepoint| btf.tracepoint(tracepoint).unwrap_or(0);
        let has_regs = btf.arguments("bpf_task_pt_regs").is_some();
        values.push(("HAS_TASK_REGS", u32::from(has_regs)));
        values.push(("KFREE_HAS_SOCKET", u32::from(arguments("kfree_skb") > 3)));
        let completion = Completion::find(btf);
        let Completion { result, has_cqe, has_request } = completion;
        values.push(("URING_RESULT", result));
        values.push(("URING_HAS_CQE", u32::from(has_cqe)));
        values.push(("URING_HAS_REQUEST", u32::from(has_request)));
        for (global, number) in [
            ("SYS_ACCEPT", libc::SYS_accept),
            ("SYS_ACCEPT4", libc::SYS_accept4),
            ("SYS_LISTEN", libc::SYS_listen),
        ] {
            values.push((global, u32::try_from(number).unwrap_or(ABSENT)));
        }
        (Self { values, lacking }, missing)
    }

    /// Each global with its value (None if this kernel lacks it) and the field that it comes from.
    pub(crate) fn describe(btf: &Btf) -> Vec<(&'static str, Option<u32>, String)> {
        let (layout, _) = Self::survey(btf);
        let source = |global| ENTRIES.iter().find(|entry| entry.global == global);
        let described = layout.values.iter().map(|(global, value)| {
            let source = source(*global).map_or(String::new(), |entry| entry.source.describe());
            (*global, (*value != ABSENT).then_some(*value), source)
        });
        described.collect()
    }

    /// Can the programs read a socket's cgroup and the ancestors of that cgroup?
    pub(crate) fn knows_cgroups(&self) -> bool {
        let has = |global| self.value(global).is_some_and(|value| value != ABSENT);
        ["SK_CGROUP", "CGROUP_NODE", "CGROUP_LEVEL", "NODE_ID"].into_iter().all(has)
            && ["CGROUP_ANCESTORS", "CGROUP_ANCESTOR_IDS"].into_iter().any(has)
    }

    /// Fields that the tracepoint backend needs and this kernel's BTF lacks.
    pub(crate) fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Does the tracepoint `io_uring_complete` identify the request?
    pub(crate) fn knows_uring_requests(&self) -> bool {
        let has = |global| self.value(global).is_some_and(|value| value != ABSENT);
        self.value("URING_HAS_REQUEST") == Some(1) && has("URING_FILE") && has("URING_OPCODE")
    }

    /// Treats a global as missing from this kernel.
    pub(crate) fn leave_out(&mut self, global: &str) {
        for (_, value) in self.values.iter_mut().filter(|(name, _)| *name == global) {
            *value = ABSENT;
        }
    }

    /// The value of a global.
    pub(crate) fn value(&self, global: &str) -> Option<u32> {
        self.values.iter().find(|(name, _)| *name == global).map(|(_, value)| *value)
    }

    /// Name and value of each global.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static str, u32)> {
        self.values.iter()
    }
}

/// The arguments of the tracepoint `io_uring_complete`: `(ctx, user_data, res, ...)` up to 5.16,
/// `(ctx, req, user_data, res, ...)` since, `(ctx, req, cqe)` since 6.10.
struct Completion {
    result: u32,
    has_cqe: bool,
    has_request: bool,
}

impl Completion {
    fn find(btf: &Btf) -> Self {
        let arguments = btf.tracepoint("io_uring_complete").unwrap_or(0);
        // `io_kiocb` had a `cqe` before the tracepoint passed one, so the field alone does not
        // decide.
        let has_cqe = arguments == 3 && btf.field("io_kiocb", "cqe").is_some();
        let has_request = has_cqe || arguments > 4;
        let result = if has_request && !has_cqe { 3 } else { 2 };
        Self { result, has_cqe, has_request }
    }
}

impl Source {
    fn describe(&self) -> String {
        match self {
            Self::Offset(structure, path)
            | Self::Number(structure, path)
            | Self::Mask(structure, path)
            | Self::LowestBit(structure, path) => {
                format!("{structure}.{path}")
            }
            Self::Across([first, second, _]) => {
                format!("{}.{} or {}.{}", first.0, first.1, second.0, second.1)
            }
            Self::Counter(name) => (*name).to_owned(),
        }
    }
}
