//! Maps a socket to its slot, which every known listener has, and a slot to this CPU's counts.

use backlog_ebpf::{
    record::{CLOSING, OPENED_NOW},
    totals::Totals,
};

use super::{
    listener_cache,
    maps::{CLOSED, LISTENERS, SLOT_INFO, TOTALS},
    shared::GENERATION,
    values::CachedListener,
};
use crate::kernel::types::Sock;

/// A listener that has a slot, with this CPU's totals.
#[derive(Clone, Copy)]
pub(crate) struct Tracked {
    pub(crate) slot: u32,
    pub(crate) totals: *mut Totals,
}

/// A listener that has a slot. An ordinary connection needs no totals, which cost a lookup.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) slot: u32,
    /// Whether MPTCP connections may join through it.
    pub(crate) joins: bool,
}

impl Known {
    /// The listener of a slot.
    #[inline(always)]
    pub(crate) fn at(slot: u32) -> Self {
        Self { slot, joins: true }
    }

    /// The listener of a valid entry.
    #[inline(always)]
    pub(crate) fn cached(cached: *mut CachedListener) -> Self {
        // SAFETY: this CPU's element of the per-CPU array.
        let CachedListener { slot, joins, .. } = unsafe { *cached };
        Self { slot, joins: joins != 0 }
    }

    /// The listener with this CPU's totals.
    #[inline(always)]
    pub(crate) fn tracked(self) -> Option<Tracked> {
        tracked(self.slot)
    }
}

/// The totals of a slot on this CPU.
#[inline(always)]
pub(crate) fn tracked(slot: u32) -> Option<Tracked> {
    TOTALS.get_ptr_mut(slot).map(|totals| Tracked { slot, totals })
}

/// The slot of a socket, if it has one.
#[inline(always)]
pub(crate) fn find(sk: *const Sock) -> Option<u32> {
    if let Some(cached) = listener_cache::find(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        return Some(unsafe { (*cached).slot });
    }
    // Read first: if an entry is removed from the map after this, the generation changes.
    let generation = GENERATION.get();
    // SAFETY: a slot number is never changed, only inserted and removed.
    let slot = unsafe { LISTENERS.get(sk as u64) }.copied()?;
    listener_cache::insert(sk, slot, generation);
    Some(slot)
}

/// Whether this listener is known.
#[inline(always)]
pub(crate) fn has_slot(sk: *const Sock) -> bool {
    find(sk).is_some()
}

/// Whether this listener is known, and not about to close.
#[inline(always)]
pub(crate) fn is_open(sk: *const Sock) -> bool {
    find(sk)
        .and_then(|slot| SLOT_INFO.get(slot))
        .is_some_and(|info| info.flags & CLOSING == 0 && info.flags & OPENED_NOW != 0)
}

/// Whether this listener is known, or was until it closed recently.
#[inline(always)]
pub(crate) fn was_known(sk: *const Sock) -> bool {
    // SAFETY: as in `find`; the value is not read.
    has_slot(sk) || unsafe { CLOSED.get(sk as u64) }.is_some()
}

/// Whether this slot was assigned to its listener before that time. If not, it belongs to another
/// one by now.
#[inline(always)]
pub(crate) fn had_slot(slot: u32, time_ns: u64) -> bool {
    SLOT_INFO.get(slot).is_some_and(|info| info.header.time_ns <= time_ns)
}

/// The listener of a socket, if it has a slot; it does not get one here.
#[inline(always)]
pub(crate) fn known(sk: *const Sock) -> Option<Tracked> {
    tracked(find(sk)?)
}
