//! The table of queued connections for hooks on functions: an array, which programs read without a
//! helper call. A connection has one place, by its socket's address; if that is taken, it goes into
//! the map (`overflow`).
//!
//! An accept on another CPU may come before the enqueue is recorded. It leaves a mark in the same
//! place, and the program that records the enqueue finds it. Without an atomic instruction for this
//! (5.10 has none) the two may miss each other: then both marks stay, with the same meaning.

use backlog_ebpf::pending::{NAMELESS, Pending, Waiting};

use super::InsertOutcome;
use crate::kernel::{globals::WAITING_MASK, pointers, types::Sock};
use crate::state::{
    maps::WAITING,
    slots::{self, Tracked},
};

/// Whether the table is used. (Tracepoints do not use it.)
#[inline(always)]
pub(crate) fn is_used() -> bool {
    WAITING_MASK.load() != 0
}

/// The place of a connection.
#[inline(always)]
fn at(child: *const Sock) -> Option<*mut Waiting> {
    WAITING.get_ptr_mut(pointers::spread(child) & WAITING_MASK.load())
}

/// Stores a connection; none if its place is taken.
#[inline(always)]
pub(crate) fn insert(child: *const Sock, entry: Pending) -> Option<InsertOutcome> {
    let place = at(child)?;
    // SAFETY: an element of an array. The entry is written by the CPU that queues the connection,
    // and removed by the one that accepts it, which comes later.
    unsafe {
        let key = &raw mut (*place).child;
        let there = key.read_volatile();
        if there != 0 && there != child as u64 {
            return None;
        }
        if there != 0 && (*place).early == there {
            // An earlier connection with this address, whose two marks have missed each other.
            (*place).early = 0;
            count_unseen_accept((*place).entry.slot);
        }
        (*place).entry = entry;
        key.write_volatile(child as u64);
        let early = (&raw const (*place).early).read_volatile();
        if early != child as u64 {
            return Some(InsertOutcome::Kept);
        }
        (*place).early = 0;
        key.write_volatile(0);
        Some(InsertOutcome::AcceptedBefore((*place).early_ns & !NAMELESS))
    }
}

/// The entry of a connection, if it has a place.
#[inline(always)]
pub(crate) fn entry(child: *const Sock) -> Option<*mut Pending> {
    if !is_used() {
        return None;
    }
    let place = at(child)?;
    // SAFETY: as in `insert`.
    unsafe { ((*place).child == child as u64).then_some(&raw mut (*place).entry) }
}

/// Removes a connection and returns its entry, if it has a place.
#[inline(always)]
pub(crate) fn take(child: *const Sock) -> Option<Pending> {
    let place = at(child)?;
    // SAFETY: as in `insert`.
    unsafe {
        let key = &raw mut (*place).child;
        if key.read_volatile() != child as u64 {
            return None;
        }
        let entry = (*place).entry;
        key.write_volatile(0);
        Some(entry)
    }
}

/// Records the accept of a connection that is not in the table yet, or never will be. With
/// `port_cleared` it was reset meanwhile: it no longer has a port, and may not belong to a traced
/// listener. Returns true if this replaces the mark of another connection that had a port.
#[inline(always)]
pub(crate) fn accept_before_enqueue(child: *const Sock, port_cleared: bool, now: u64) -> bool {
    let Some(place) = at(child) else { return false };
    // SAFETY: as in `insert`; the mark belongs to the CPU that accepts, until it is found.
    unsafe {
        let key = &raw mut (*place).early;
        let before = key.read_volatile();
        let named = (*place).early_ns & NAMELESS == 0;
        (*place).early_ns = now | if port_cleared { NAMELESS } else { 0 };
        key.write_volatile(child as u64);
        before != 0 && named && before != child as u64
    }
}

/// Counts an accept whose mark and enqueue missed each other.
#[inline(always)]
fn count_unseen_accept(slot: u32) {
    if let Some(Tracked { totals, .. }) = slots::tracked(slot) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*totals).accepted += 1 };
    }
}
