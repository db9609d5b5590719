//! What a CPU notes between the entry and the exit of a function, so that the exit
//! can compare.
//!
//! The functions of [`Site`] are called one after the other for a packet, never
//! inside each other, and run with bottom halves off: one note a CPU is enough.

use backlog_ebpf::record::Endpoint;

use super::{
    counters::{self, Base, Mib},
    look::Recent,
    maps::SCRATCH,
    tracepoint::Birth,
    types::Sock,
};

/// A function whose entry and exit are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Site {
    /// `cookie_v4_check`, `cookie_v6_check`
    Cookie = 3,
    /// `tcp_req_err`
    Error = 4,
}

/// What a function that only a few packets come by has told about the one in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Hint {
    /// Nothing.
    None = 0,
    /// It fell to the last-quarter rule.
    LastQuarter = 1,
    /// Its child was not queued.
    NotQueued = 2,
}

/// The counters at an entry; not every site reads every one.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Counts {
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

/// What is noted at an entry.
#[derive(Clone, Copy)]
#[repr(C)]
struct Note {
    /// The socket that it was entered with; zero: not inside.
    sk: u64,
    /// A [`Site`].
    site: u32,
    pad: u32,
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
    pub(crate) recent: Recent,
    note: Note,
    /// A [`Hint`].
    hint: u32,
    pad: u32,
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
    let note = Note { sk: sk as u64, site: site as u32, pad: 0, counts: counts(&mib) };
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
    let before = note.counts;
    counters::mib(scratch, sk).map(|mib| Left { before, mib })
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

/// Tells the end of the packet in hand.
#[inline(always)]
pub(crate) fn tell(hint: Hint) {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        unsafe { (*scratch).hint = hint as u32 };
    }
}

/// What was told since the last packet that asked.
#[inline(always)]
pub(crate) fn told() -> Hint {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return Hint::None };
    // SAFETY: as in `enter`.
    let hint = unsafe { core::mem::replace(&mut (*scratch).hint, Hint::None as u32) };
    if hint == Hint::LastQuarter as u32 {
        Hint::LastQuarter
    } else if hint == Hint::NotQueued as u32 {
        Hint::NotQueued
    } else {
        Hint::None
    }
}
