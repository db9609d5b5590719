//! What a CPU keeps from the entry of a function to its exit, so that the exit can compare.
//!
//! The functions of [`TracedFn`] are called one after the other for a packet, never inside each
//! other, and run with bottom halves off: one entry per CPU is enough.

use super::{
    counters::{self, Mib},
    maps::SCRATCH,
    values::{EnteredFn, EntryCounts, KeptPacket},
};
use crate::kernel::types::Sock;

/// A function whose entry and exit are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum TracedFn {
    /// `cookie_v4_check`, `cookie_v6_check`
    Cookie = 3,
    /// `tcp_req_err`
    Error = 4,
}

/// Why the current packet is dropped, if a rarely called function reveals it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DropHint {
    /// No function did.
    None = 0,
    /// The last-quarter rule applied.
    LastQuarter = 1,
    /// Its child was not queued.
    NotQueued = 2,
}

/// Stores the entry of a function, and what `counts` reads there.
#[inline(always)]
pub(crate) fn enter(function: TracedFn, sk: *const Sock, counts: impl FnOnce(&Mib) -> EntryCounts) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let Some(mib) = counters::of_socket(scratch, sk) else { return };
    let entered =
        EnteredFn { sk: sk as u64, function: function as u32, pad: 0, counts: counts(&mib) };
    // SAFETY: a per-CPU element; the hooked functions run with bottom halves off.
    unsafe { (*scratch).entered = entered };
}

/// Stores the packet of the function that was just entered.
#[inline(always)]
pub(crate) fn keep_packet(packet: KeptPacket) {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        unsafe { (*scratch).packet = packet };
    }
}

/// The packet that was stored last.
#[inline(always)]
pub(crate) fn kept_packet() -> Option<KeptPacket> {
    // SAFETY: as in `enter`.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { (*scratch).packet })
}

/// What an exit compares.
pub(crate) struct Comparison {
    /// The counters at the entry.
    pub(crate) before: EntryCounts,
    /// Access to the current counters.
    pub(crate) mib: Mib,
}

/// Ends what [`enter`] started. None if no program saw the entry, for example because the run
/// started in between.
#[inline(always)]
pub(crate) fn leave(function: TracedFn, sk: *const Sock) -> Option<Comparison> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `enter`.
    let entered = unsafe { &mut (*scratch).entered };
    if entered.sk != sk as u64 || entered.function != function as u32 {
        return None;
    }
    entered.sk = 0;
    let before = entered.counts;
    counters::of_socket(scratch, sk).map(|mib| Comparison { before, mib })
}

/// Whether this CPU is inside the function, for this socket.
#[inline(always)]
pub(crate) fn inside(function: TracedFn, sk: *const Sock) -> bool {
    match SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        Some(scratch) => unsafe {
            (*scratch).entered.sk == sk as u64 && (*scratch).entered.function == function as u32
        },
        None => false,
    }
}

/// Sets the reason why the current packet is dropped.
#[inline(always)]
pub(crate) fn set_hint(hint: DropHint) {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        unsafe { (*scratch).hint = hint as u32 };
    }
}

/// Takes the hint that was set since the last call.
#[inline(always)]
pub(crate) fn take_hint() -> DropHint {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return DropHint::None };
    // SAFETY: as in `enter`.
    let hint = unsafe { core::mem::replace(&mut (*scratch).hint, DropHint::None as u32) };
    if hint == DropHint::LastQuarter as u32 {
        DropHint::LastQuarter
    } else if hint == DropHint::NotQueued as u32 {
        DropHint::NotQueued
    } else {
        DropHint::None
    }
}
