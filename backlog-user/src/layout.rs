//! What the programs must know of this kernel's structs: each global of
//! `backlog-ebpf/src/kernel/globals.rs`, and where its value comes from in BTF.
//! Pure: a [`Btf`] in, a table of values out.

use anyhow::{Result, bail};
use backlog_ebpf::ABSENT;

use crate::kernel::btf::Btf;

/// What a global is filled with.
enum Source {
    /// The byte offset of a field.
    Offset(&'static str, &'static str),
    /// The bits of a bitfield within its byte.
    Mask(&'static str, &'static str),
    /// The lowest of these bits.
    LowestBit(&'static str, &'static str),
    /// The sum of two byte offsets minus a third: from one member of a struct to
    /// a field of another member.
    Across([(&'static str, &'static str); 3]),
    /// The index of a counter.
    Counter(&'static str),
}

/// A global, its source, and whether the programs can do without.
struct Entry {
    global: &'static str,
    source: Source,
    optional: bool,
}

const fn offset(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Offset(structure, path), optional: false }
}

const fn optional(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Offset(structure, path), optional: true }
}

const fn mask(global: &'static str, structure: &'static str, path: &'static str) -> Entry {
    Entry { global, source: Source::Mask(structure, path), optional: false }
}

const fn counter(global: &'static str, name: &'static str) -> Entry {
    Entry { global, source: Source::Counter(name), optional: false }
}

const ENTRIES: &[Entry] = &[
    offset("SKC_DADDR", "sock_common", "skc_daddr"),
    offset("SKC_RCV_SADDR", "sock_common", "skc_rcv_saddr"),
    offset("SKC_DPORT", "sock_common", "skc_dport"),
    offset("SKC_NUM", "sock_common", "skc_num"),
    offset("SKC_FAMILY", "sock_common", "skc_family"),
    offset("SKC_STATE", "sock_common", "skc_state"),
    offset("SKC_NET", "sock_common", "skc_net.net"),
    // Only with CONFIG_IPV6; without it no socket is of that family.
    optional("SKC_V6_DADDR", "sock_common", "skc_v6_daddr"),
    optional("SKC_V6_RCV_SADDR", "sock_common", "skc_v6_rcv_saddr"),
    offset("SKC_LISTENER", "sock_common", "skc_listener"),
    offset("SKC_COOKIE", "sock_common", "skc_cookie"),
    offset("SKC_BITS", "sock_common", "skc_reuseport"),
    mask("SKC_REUSEPORT_MASK", "sock_common", "skc_reuseport"),
    mask("SKC_V6ONLY_MASK", "sock_common", "skc_ipv6only"),
    offset("SK_ACK_BACKLOG", "sock", "sk_ack_backlog"),
    offset("SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    offset("SK_DROPS", "sock", "sk_drops"),
    offset("SK_PROTOCOL", "sock", "sk_protocol"),
    offset("SK_SOCKET", "sock", "sk_socket"),
    offset("ICSK_SYN_QUEUE", "inet_connection_sock", "icsk_accept_queue.qlen"),
    offset("ICSK_FASTOPEN_LIMIT", "inet_connection_sock", "icsk_accept_queue.fastopenq.max_qlen"),
    offset("ICSK_SYN_RETRIES", "inet_connection_sock", "icsk_syn_retries"),
    offset("SOCKET_SK", "socket", "sk"),
    Entry {
        global: "SOCKET_INO",
        source: Source::Across([
            ("socket_alloc", "vfs_inode"),
            ("inode", "i_ino"),
            ("socket_alloc", "socket"),
        ]),
        optional: false,
    },
    offset("NET_INUM", "net", "ns.inum"),
    offset("NET_STATISTICS", "net", "mib.net_statistics"),
    offset("TCP_STATISTICS", "net", "mib.tcp_statistics"),
    offset("NET_SYNACK_RETRIES", "net", "ipv4.sysctl_tcp_synack_retries"),
    offset("NET_ABORT_ON_OVERFLOW", "net", "ipv4.sysctl_tcp_abort_on_overflow"),
    offset("REQ_TIMER", "request_sock", "rsk_timer"),
    offset("REQ_TIMEOUTS", "request_sock", "num_timeout"),
    mask("REQ_TIMEOUTS_MASK", "request_sock", "num_timeout"),
    Entry {
        global: "REQ_TIMEOUTS_ONE",
        source: Source::LowestBit("request_sock", "num_timeout"),
        optional: false,
    },
    offset("TREQ_RCV_ISN", "tcp_request_sock", "rcv_isn"),
    offset("SKB_HEAD", "sk_buff", "head"),
    offset("SKB_NETWORK_HEADER", "sk_buff", "network_header"),
    offset("SKB_TRANSPORT_HEADER", "sk_buff", "transport_header"),
    offset("SKB_PROTOCOL", "sk_buff", "protocol"),
    // Only with CONFIG_MPTCP.
    optional("MPTCP_FIRST", "mptcp_sock", "first"),
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
pub(crate) struct Layout(Vec<(&'static str, u32)>);

impl Layout {
    /// Finds every value, or names all that are missing.
    pub(crate) fn find(btf: &Btf) -> Result<Self> {
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
        let mut missing = Vec::new();
        for Entry { global, source, optional } in ENTRIES {
            let value = match source {
                Source::Offset(structure, path) => byte((structure, path)),
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
            if value.is_none() && !optional {
                missing.push(source.describe());
            }
            values.push((*global, value.unwrap_or(ABSENT)));
        }
        if !missing.is_empty() {
            bail!(
                "this kernel's type information lacks {}: backlog-trace does not know this kernel \
                 yet, please report its `uname -r`",
                missing.join(", ")
            );
        }
        Ok(Self(values))
    }

    /// Name and value of each global.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static str, u32)> {
        self.0.iter()
    }
}

impl Source {
    fn describe(&self) -> String {
        match self {
            Self::Offset(structure, path)
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
