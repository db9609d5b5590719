//! Values that the programs need from the running kernel: offsets of fields in bytes, masks and
//! indexes, one list for both halves. The loader finds their values by name.
//!
//! Where the verifier knows the type of a pointer, a program reads a field by a load whose offset
//! is the field's number, larger than any kernel struct; the loader replaces it by the real offset.
//! This takes one instruction, a global would take five.

/// Calls a macro with the whole list: the documentation and name of each field.
#[macro_export]
macro_rules! for_each_field {
    ($then:ident) => {
        $then! {
            /// `sock_common.skc_nulls_node.pprev`, of a request: null once the request is unhashed
            SKC_NULLS_PPREV,
            /// `tcp_sock.fastopen_rsk`, of a child: its request while Fast Open is under way
            TP_FASTOPEN_RSK,
            /// `tcp_sock.copied_seq`: the next sequence number to read
            TP_COPIED_SEQ,
            /// `tcp_sock.rcv_nxt`: the next sequence number to receive
            TP_RCV_NXT,
            /// `tcp_sock.tcp_mstamp`: when the last packet arrived, `CLOCK_MONOTONIC` microseconds
            TP_MSTAMP,
            /// `sock_common.skc_daddr`
            SKC_DADDR,
            /// `sock_common.skc_rcv_saddr`
            SKC_RCV_SADDR,
            /// `sock_common.skc_dport`, big-endian
            SKC_DPORT,
            /// `sock_common.skc_num`, host order
            SKC_NUM,
            /// `sock_common.skc_family`
            SKC_FAMILY,
            /// `sock_common.skc_state`
            SKC_STATE,
            /// `sock_common.skc_net.net`
            SKC_NET,
            /// `sock_common.skc_v6_daddr`
            SKC_V6_DADDR,
            /// `sock_common.skc_v6_rcv_saddr`
            SKC_V6_RCV_SADDR,
            /// `sock_common.skc_listener`, of a request
            SKC_LISTENER,
            /// `sock_common.skc_cookie`
            SKC_COOKIE,
            /// `sock_common.skc_bind_node`
            SKC_BIND_NODE,
            /// The byte of `sock_common.skc_reuseport` and `skc_ipv6only`
            SKC_BITS,
            /// The bit of `skc_reuseport` in that byte, as a mask
            SKC_REUSEPORT_MASK,
            /// The bit of `skc_ipv6only` in that byte, as a mask
            SKC_V6ONLY_MASK,
            /// `sock.sk_ack_backlog`
            SK_ACK_BACKLOG,
            /// `sock.sk_max_ack_backlog`
            SK_MAX_ACK_BACKLOG,
            /// `sock.sk_drops`
            SK_DROPS,
            /// `sock.sk_protocol`
            SK_PROTOCOL,
            /// `sock.sk_cgrp_data.cgroup`: the cgroup of the socket's creator
            SK_CGROUP,
            /// `cgroup.kn`
            CGROUP_NODE,
            /// `cgroup.level`
            CGROUP_LEVEL,
            /// `cgroup.ancestors`: pointers, by level
            CGROUP_ANCESTORS,
            /// `cgroup.ancestor_ids`: numbers, by level (before 6.1)
            CGROUP_ANCESTOR_IDS,
            /// `kernfs_node.id`
            NODE_ID,
            /// `sock.sk_shutdown`
            SK_SHUTDOWN,
            /// `sock.sk_socket`
            SK_SOCKET,
            /// `inet_connection_sock.icsk_accept_queue.qlen`
            ICSK_SYN_QUEUE,
            /// `inet_connection_sock.icsk_accept_queue.fastopenq.max_qlen`
            ICSK_FASTOPEN_LIMIT,
            /// `inet_connection_sock.icsk_syn_retries`
            ICSK_SYN_RETRIES,
            /// `inet_connection_sock.icsk_accept_queue.rskq_accept_head`
            ICSK_ACCEPT_HEAD,
            /// `inet_connection_sock.icsk_ulp_data`
            ICSK_ULP_DATA,
            /// The byte of `tcp_sock.is_mptcp`
            TP_IS_MPTCP,
            /// Its bit in that byte, as a mask
            TP_IS_MPTCP_MASK,
            /// The byte of `mptcp_subflow_context.mp_join`
            SUBFLOW_JOIN,
            /// Its bit in that byte, as a mask
            SUBFLOW_JOIN_MASK,
            /// `socket.sk`
            SOCKET_SK,
            /// From a `socket` to the `i_ino` of its inode (both are in `socket_alloc`)
            SOCKET_INO,
            /// `net.ns.inum`
            NET_INUM,
            /// `net.hash_mix`
            NET_HASH_MIX,
            /// `net.net_cookie`, if it is set from the start and userspace can query it
            NET_COOKIE,
            /// `net.loopback_dev`
            NET_LOOPBACK,
            /// `net_device.dev.kobj.sd`: its directory in sysfs
            DEVICE_NODE,
            /// `kernfs_node.dir.root`
            NODE_ROOT,
            /// `kernfs_root.id_highbits`: upper half of the last node id
            KERNFS_HIGH,
            /// `kernfs_root.last_id_lowbits`: the rest of it
            KERNFS_LOW,
            /// `net.mib.net_statistics`, a per-CPU pointer
            NET_STATISTICS,
            /// `net.mib.tcp_statistics`, a per-CPU pointer
            TCP_STATISTICS,
            /// `net.ipv4.sysctl_tcp_synack_retries`, its lowest byte
            NET_SYNACK_RETRIES,
            /// `net.ipv4.sysctl_tcp_abort_on_overflow`, its lowest byte
            NET_ABORT_ON_OVERFLOW,
            /// `net.ipv4.sysctl_tcp_syncookies`, its lowest byte
            NET_SYNCOOKIES,
            /// `net.core.sysctl_somaxconn`
            NET_SOMAXCONN,
            /// `net.ipv4.sysctl_max_syn_backlog`
            NET_MAX_SYN_BACKLOG,
            /// `request_sock.dl_next`
            REQ_NEXT,
            /// `request_sock.sk`
            REQ_SK,
            /// `request_sock.rsk_timer`
            REQ_TIMER,
            /// The byte of `request_sock.num_timeout`
            REQ_TIMEOUTS,
            /// The bits of `num_timeout` in that byte, as a mask
            REQ_TIMEOUTS_MASK,
            /// The lowest of these bits, as a mask
            REQ_TIMEOUTS_ONE,
            /// `tcp_request_sock.rcv_isn`
            TREQ_RCV_ISN,
            /// `sk_buff.head`
            SKB_HEAD,
            /// `sk_buff.network_header`
            SKB_NETWORK_HEADER,
            /// `sk_buff.transport_header`
            SKB_TRANSPORT_HEADER,
            /// `sk_buff.protocol`
            SKB_PROTOCOL,
            /// `mptcp_sock.first`: the TCP socket under an MPTCP one
            MPTCP_FIRST,
            /// `sk_buff._skb_refdst`
            SKB_DST,
            /// `dst_entry.dev`
            DST_DEV,
            /// `net_device.nd_net.net`
            NETDEV_NET,
            /// `task_struct.files`
            TASK_FILES,
            /// `task_struct.nsproxy`
            TASK_NSPROXY,
            /// `nsproxy.net_ns`
            NSPROXY_NET,
            /// `files_struct.fdt`
            FILES_FDT,
            /// `fdtable.fd`
            FDT_FD,
            /// `fdtable.max_fds`
            FDT_MAX,
            /// `file.private_data`
            FILE_PRIVATE,
            /// The first argument of a system call, in `pt_regs`
            PT_REGS_FIRST,
            /// The second one
            PT_REGS_SECOND,
            /// The last field of `pt_regs`; only where `pt_regs` lies at the end of a stack of 16
            /// KiB
            PT_REGS_LAST,
            /// `task_struct.stack`
            TASK_STACK,
            /// The number of a system call, in `pt_regs`
            PT_REGS_NUMBER,
            /// The first argument of a system call of a 32-bit program, in `pt_regs`
            PT_REGS_32_FIRST,
            /// The second one
            PT_REGS_32_SECOND,
            /// `task_struct.thread_info.status`, which marks 32-bit system calls
            TASK_STATUS,
            /// `task_struct.group_leader`: the first thread of a process
            TASK_LEADER,
            /// `task_struct.comm`
            TASK_COMM,
            /// `io_kiocb.file`: the file that a request of `io_uring` acts on
            URING_FILE,
            /// `io_kiocb.opcode`
            URING_OPCODE,
            /// `bpf_array.pptrs`
            BPF_ARRAY_PPTRS,
            /// Index of `LINUX_MIB_LISTENOVERFLOWS`
            MIB_LISTEN_OVERFLOWS,
            /// Index of `LINUX_MIB_LISTENDROPS`
            MIB_LISTEN_DROPS,
            /// Index of `LINUX_MIB_TCPREQQFULLDROP`
            MIB_REQQ_FULL_DROP,
            /// Index of `LINUX_MIB_SYNCOOKIESSENT`
            MIB_SYNCOOKIES_SENT,
            /// Index of `LINUX_MIB_TCPREQQFULLDOCOOKIES`
            MIB_REQQ_FULL_COOKIES,
            /// Index of `LINUX_MIB_SYNCOOKIESRECV`
            MIB_SYNCOOKIES_RECV,
            /// Index of `LINUX_MIB_SYNCOOKIESFAILED`
            MIB_SYNCOOKIES_FAILED,
            /// Index of `LINUX_MIB_TCPFASTOPENLISTENOVERFLOW`
            MIB_FASTOPEN_FULL,
            /// Index of `LINUX_MIB_TCPFASTOPENPASSIVEFAIL`
            MIB_FASTOPEN_FAILED,
            /// Index of `TCP_MIB_PASSIVEOPENS`
            MIB_PASSIVE_OPENS,
            /// Index of `LINUX_MIB_EMBRYONICRSTS`
            MIB_EMBRYONIC_RSTS,
        }
    };
}

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of globals")]
        enum Number { $($name),+ }

        $($(#[$doc])* pub const $name: u16 = Number::$name as u16;)+

        /// Their names, in the order of their numbers.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

for_each_field!(number);

/// The offset that stands for the first field.
pub const FIRST: u16 = 0x7000;

/// The offset that stands for a field.
#[must_use]
pub const fn stands_for(field: u16) -> u16 {
    FIRST + field
}

/// The field that an offset stands for.
#[must_use]
pub fn named_by(offset: u16) -> Option<&'static str> {
    NAMES.get(usize::from(offset.checked_sub(FIRST)?)).copied()
}
