//! What a CPU notes between the entry and the exit of a function, so that the exit
//! can compare.
//!
//! The functions of [`Site`] are called one after the other for a packet, never
//! inside each other, and run with bottom halves off: one note a CPU is enough.

use backlog_ebpf::record::Endpoint;

use super::{
    counters::{self, Base, Mib},
    maps::SCRATCH,
    tracepoint::Birth,
    types::Sock,
};

/// A function whose entry and exit are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Site {
    /// `tcp_conn_request`
    Syn = 1,
    /// `tcp_check_req`
    Ack = 2,
    /// `cookie_v4_check`, `cookie_v6_check`
    Cookie = 3,
    /// `tcp_req_err`
    Error = 4,
}

/// What a function within a site has told about the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Hint {
    /// Nothing.
    None = 0,
    /// It asks to join an MPTCP connection.
    Join = 1,
    /// It fell to the last-quarter rule.
    LastQuarter = 2,
    /// Its child was not queued, and that has been counted.
    NotQueued = 3,
    /// Another CPU has finished the same handshake first.
    Stolen = 4,
}

/// The counters at an entry; not every site reads every one.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Counts {
    /// `ListenDrops`
    pub(crate) drops: u64,
    /// `ListenOverflows`
    pub(crate) overflows: u64,
    /// `Syn`: `TCPReqQFullDrop`
    pub(crate) queue_drop: u64,
    /// `Syn`: `TCPReqQFullDoCookies`
    pub(crate) queue_cookie: u64,
    /// `Syn`: `SyncookiesSent`
    pub(crate) cookie_sent: u64,
    /// `Syn`, if the listener does Fast Open: `TCPFastOpenListenOverflow`
    pub(crate) fastopen_full: u64,
    /// `Syn`, if the listener does Fast Open: `TCPFastOpenPassiveFail`
    pub(crate) fastopen_failed: u64,
    /// `Syn`: the length that the Fast Open queue may have; zero: no Fast Open
    pub(crate) fastopen_limit: u64,
    /// `Ack`: `EmbryonicRsts`
    pub(crate) resets: u64,
    /// `Cookie`: `SyncookiesRecv`
    pub(crate) cookie_valid: u64,
    /// `Cookie`: `SyncookiesFailed`
    pub(crate) cookie_failed: u64,
    /// `Cookie`: `PassiveOpens`
    pub(crate) children: u64,
}

/// What is noted at an entry.
#[derive(Clone, Copy)]
#[repr(C)]
struct Note {
    /// The socket that it was entered with; zero: not inside.
    sk: u64,
    /// A [`Site`].
    site: u32,
    /// A [`Hint`].
    hint: u32,
    counts: Counts,
}

/// A timer of a request, between its entry and its exit.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Shot {
    /// The request; zero: not inside.
    pub(crate) request: u64,
    /// Its listener.
    pub(crate) listener: u64,
    /// SYN-ACKs that were not answered, shifted as in the request.
    pub(crate) timeouts: u32,
    /// 1: if the request dies now, it is pruned.
    pub(crate) prunes: u32,
}

/// A packet whose memory may be gone at the exit.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Packet {
    /// Who sent it.
    pub(crate) client: Endpoint,
    /// Its sequence number.
    pub(crate) sequence: u32,
    /// The byte of its TCP flags.
    pub(crate) flags: u32,
}

/// One CPU's notes.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) base: Base,
    note: Note,
    packet: Packet,
    pub(crate) birth: Birth,
    /// Of a listener that goes: its index at its port, and the last one there.
    pub(crate) places: [u32; 2],
    pub(crate) shot: Shot,
}

/// Notes the entry of a function, and what `counts` reads there.
#[inline(always)]
pub(crate) fn enter(site: Site, sk: *const Sock, counts: impl FnOnce(&Mib) -> Counts) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let Some(mib) = counters::mib(scratch, sk) else { return };
    let note =
        Note { sk: sk as u64, site: site as u32, hint: Hint::None as u32, counts: counts(&mib) };
    // SAFETY: a per-CPU element; the hooked functions run with bottom halves off.
    unsafe { (*scratch).note = note };
}

/// Notes the packet of the function that has just been entered.
#[inline(always)]
pub(crate) fn keep(packet: Packet) {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        unsafe { (*scratch).packet = packet };
    }
}

/// The packet that was noted last.
#[inline(always)]
pub(crate) fn kept() -> Option<Packet> {
    // SAFETY: as in `enter`.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { (*scratch).packet })
}

/// What an exit finds.
pub(crate) struct Left {
    /// The counters at the entry.
    pub(crate) before: Counts,
    /// The way to those of now.
    pub(crate) mib: Mib,
    hint: u32,
}

impl Left {
    /// Was this told in between?
    #[inline(always)]
    pub(crate) fn hinted(&self, hint: Hint) -> bool {
        self.hint == hint as u32
    }
}

/// Ends what [`enter`] began. None if the entry was not seen, as when the programs
/// began in between.
#[inline(always)]
pub(crate) fn leave(site: Site, sk: *const Sock) -> Option<Left> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `enter`.
    let note = unsafe { &mut (*scratch).note };
    if note.sk != sk as u64 || note.site != site as u32 {
        return None;
    }
    note.sk = 0;
    let Note { counts: before, hint, .. } = *note;
    counters::mib(scratch, sk).map(|mib| Left { before, mib, hint })
}

/// Is this CPU inside the function, for this socket?
#[inline(always)]
pub(crate) fn inside(site: Site, sk: *const Sock) -> bool {
    match SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        Some(scratch) => unsafe {
            (*scratch).note.sk == sk as u64 && (*scratch).note.site == site as u32
        },
        None => false,
    }
}

/// Tells the exit of the function that this CPU is inside of, if it is inside of one.
/// The first hint stands.
#[inline(always)]
pub(crate) fn hint(hint: Hint) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as in `enter`.
    let note = unsafe { &mut (*scratch).note };
    if note.sk != 0 && note.hint == Hint::None as u32 {
        note.hint = hint as u32;
    }
}
