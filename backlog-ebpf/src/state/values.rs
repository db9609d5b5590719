//! Types of map values that only the programs use. The code that uses them is elsewhere.

use backlog_ebpf::record::Endpoint;

/// A function that does not sleep, so that its arguments are kept per CPU.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum TracedCall {
    /// `tcp_conn_request`
    Syn = 0,
    /// `tcp_check_req`
    Ack = 1,
    /// `cookie_v4_check`, `cookie_v6_check`
    Cookie = 2,
    /// `tcp_req_err`
    Error = 3,
    /// `reqsk_timer_handler`
    Timer = 4,
    /// `reuseport_migrate_sock`
    Migrate = 5,
    /// `inet_csk_reqsk_queue_add`
    Add = 6,
}

impl TracedCall {
    /// The number of functions.
    pub(crate) const COUNT: usize = 7;
}

/// How many arguments are kept: no exit reads a later one.
const KEPT: usize = 4;

/// The first arguments of a call.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SavedArgs {
    pub(crate) words: [u64; KEPT],
    /// Nonzero: the function has been entered and has not returned.
    pub(crate) inside: u64,
}

/// A thread, and the function that it sleeps in (`calls::SleepingFn`).
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SleepingCall {
    pub(crate) thread: u64,
    pub(crate) function: u64,
}

/// A listener in this CPU's cache.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CachedListener {
    pub(crate) sk: u64,
    pub(crate) slot: u32,
    /// The entry is valid as long as `shared::GENERATION` has this value.
    pub(crate) generation: u32,
    /// Its `sk_drops` when this CPU last saw it.
    pub(crate) drops: u32,
    /// The longest SYN queue that this CPU has seen.
    pub(crate) syn_queue: u32,
    /// 1: MPTCP connections may join through it.
    pub(crate) joins: u32,
}

/// Bytes of `struct bpf_array` to search for `pptrs`.
pub(crate) const MAP_BYTES: usize = 512;

/// Data to find this CPU's counters (`counters`).
#[repr(C)]
pub(crate) struct PerCpuBase {
    /// The address of this element.
    pub(crate) here: u64,
    /// A copy of the map's own `struct bpf_array`, made once.
    pub(crate) map: [u8; MAP_BYTES],
}

/// Values of the kernel's counters, or their moves.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct MibCounts {
    /// `ListenDrops`
    pub(crate) drops: u64,
    /// `ListenOverflows`
    pub(crate) overflows: u64,
    /// `TCPReqQFullDrop`
    pub(crate) queue_drop: u64,
    /// `TCPReqQFullDoCookies`
    pub(crate) queue_cookie: u64,
    /// `SyncookiesSent`
    pub(crate) cookie_sent: u64,
    /// `SyncookiesRecv`
    pub(crate) cookie_valid: u64,
    /// `SyncookiesFailed`
    pub(crate) cookie_failed: u64,
    /// `TCPFastOpenListenOverflow`
    pub(crate) fastopen_full: u64,
    /// `TCPFastOpenPassiveFail`
    pub(crate) fastopen_failed: u64,
    /// `EmbryonicRsts`
    pub(crate) resets: u64,
    /// `PassiveOpens`
    pub(crate) children: u64,
}

/// A namespace's counters on this CPU when they were last read. Before the run, each CPU reads
/// those of every namespace that userspace can enter. The first snapshot of any other namespace
/// counts from zero if the namespace was created during the run; else it is only the base of the
/// next one.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MibSnapshot {
    pub(crate) counted: MibCounts,
    /// The namespace that has this address. Zero: this CPU has read none there.
    pub(crate) identity: u64,
    /// 1: it was taken during the run.
    pub(crate) running: u64,
}

/// The last snapshot on this CPU, to compare with the next one of the same namespace: its
/// `ListenOverflows` and `ListenDrops` are newer than those of the table, since a flood reads
/// nothing else.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct LastSnapshot {
    pub(crate) net: u64,
    pub(crate) identity: u64,
    /// The address of this CPU's `ListenDrops`.
    pub(crate) drops_at: u64,
    /// Its value then.
    pub(crate) drops: u64,
    /// The value of `ListenOverflows` then.
    pub(crate) overflows: u64,
}

/// The counters at an entry; a function reads only those that it needs.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct EntryCounts {
    /// `ListenDrops`
    pub(crate) drops: u64,
    /// `ListenOverflows`
    pub(crate) overflows: u64,
    /// `Cookie`: `SyncookiesRecv`
    pub(crate) cookie_valid: u64,
    /// `Cookie`: `SyncookiesFailed`
    pub(crate) cookie_failed: u64,
    /// `Cookie`: `PassiveOpens`
    pub(crate) children: u64,
}

/// A function that this CPU is in, and the data from its entry.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct EnteredFn {
    /// The socket that it was entered with; zero: not inside.
    pub(crate) sk: u64,
    /// Which function (`scratch::TracedFn`), as a number.
    pub(crate) function: u32,
    pub(crate) pad: u32,
    pub(crate) counts: EntryCounts,
}

/// The data of a packet whose memory may be gone at the exit.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct KeptPacket {
    /// The sender.
    pub(crate) client: Endpoint,
    /// Its sequence number.
    pub(crate) sequence: u32,
    /// The byte of its TCP flags.
    pub(crate) flags: u32,
}

/// A timer of a request, from its entry to its exit.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RequestTimer {
    /// The request; zero: not inside.
    pub(crate) request: u64,
    /// Its listener.
    pub(crate) listener: u64,
    /// The number of unanswered SYN-ACKs, shifted as in the request.
    pub(crate) timeouts: u32,
    /// 1: if the request is removed now, it is pruned.
    pub(crate) prunes: u32,
}

/// A socket that was just created on this CPU.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Birth {
    /// Its address; zero: its fate is known.
    pub(crate) child: u64,
    /// 1: it was created from a SYN cookie.
    pub(crate) cookie: u32,
    /// Which of the tracepoint's two programs saw it.
    pub(crate) seen_by: u32,
}

/// What one CPU keeps from one program to the next.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) base: PerCpuBase,
    pub(crate) last: LastSnapshot,
    pub(crate) entered: EnteredFn,
    /// Why the current packet is dropped (`scratch::DropHint`), as a number.
    pub(crate) hint: u32,
    pub(crate) pad: u32,
    pub(crate) packet: KeptPacket,
    pub(crate) birth: Birth,
    /// For a departing listener: its index at its port, and the last one there.
    pub(crate) port_slots: [u32; 2],
    pub(crate) timer: RequestTimer,
}

/// The position of a listener among those of a port and namespace.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct PortSlot {
    pub(crate) net: u64,
    pub(crate) port: u32,
    /// Counted from zero, without gaps.
    pub(crate) index: u32,
}

/// The listener at a position.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct PortMember {
    pub(crate) sk: u64,
    /// Its `sk_drops` when last read.
    pub(crate) drops: u64,
}
