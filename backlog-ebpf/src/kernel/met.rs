//! The listeners that this CPU has met last: from a socket to its slot without a search, and
//! what this CPU has seen of it.

use super::{
    globals::{MET_MASK, SK_DROPS},
    join,
    listener::{Seen, seen},
    maps::{LISTENERS, MET, TOTALS},
    place::{Place, spread},
    read,
    shared::GENERATION,
    types::Sock,
};

/// A listener that was met.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Met {
    sk: u64,
    slot: u32,
    /// The [`GENERATION`] in which it was noted.
    generation: u32,
    /// Its `sk_drops` when this CPU last saw it.
    drops: u32,
    /// The longest SYN queue that this CPU has noted.
    pub(crate) syn_queue: u32,
    /// 1: MPTCP connections may join through it.
    joins: u32,
}

/// This CPU's note of a listener, if it holds.
#[inline(always)]
pub(crate) fn met(sk: *const Sock) -> Option<*mut Met> {
    let met = MET.get_ptr_mut(spread(sk) & MET_MASK.load())?;
    // SAFETY: a per-CPU element. A program that interrupts another one there may write it
    // for the same listener, or for another one: then it is looked up anew.
    let holds = unsafe { (*met).sk == sk as u64 && (*met).generation == GENERATION.get() };
    holds.then_some(met)
}

/// The listener of a note that holds.
#[inline(always)]
pub(crate) fn seen_of(met: *mut Met) -> Option<Seen> {
    // SAFETY: as in `met`.
    let Met { slot, joins, .. } = unsafe { *met };
    seen(slot).map(|seen| Seen { joins: joins != 0, ..seen })
}

/// The slot of a socket, if it has one.
#[inline(always)]
pub(super) fn slot_of(sk: *const Sock) -> Option<u32> {
    if let Some(met) = met(sk) {
        // SAFETY: as in `met`.
        return Some(unsafe { (*met).slot });
    }
    // What is removed from the map meanwhile is so after this.
    let generation = GENERATION.get();
    // SAFETY: a slot number is never changed, only inserted and removed.
    let slot = unsafe { LISTENERS.get(sk as u64) }.copied()?;
    if let Some(met) = MET.get_ptr_mut(spread(sk) & MET_MASK.load()) {
        let joins = u32::from(join::are_possible(sk));
        // Another listener may have had the place since.
        let (drops, syn_queue) = match TOTALS.get_ptr_mut(slot) {
            // SAFETY: this CPU's element of the per-CPU array.
            Some(totals) => unsafe { ((*totals).seen_drops, (*totals).syn_queue_peak) },
            None => return Some(slot),
        };
        // SAFETY: as in `met`. It holds nothing until it is whole.
        unsafe {
            let holds = &raw mut (*met).generation;
            holds.write_volatile(0);
            (&raw mut (*met).sk).write_volatile(sk as u64);
            (&raw mut (*met).slot).write_volatile(slot);
            (&raw mut (*met).drops).write_volatile(drops);
            (&raw mut (*met).syn_queue).write_volatile(syn_queue);
            (&raw mut (*met).joins).write_volatile(joins);
            holds.write_volatile(generation);
        }
    }
    Some(slot)
}

/// How many packets this CPU may have refused at a listener since it last asked this: as
/// many as `sk_drops` has moved by, in which whoever refuses one counts it.
#[inline(always)]
pub(crate) fn refused_since(met: Option<*mut Met>, sk: impl Place<Sock>) -> u32 {
    let Some(met) = met else { return u32::MAX };
    let drops: u32 = read::field(sk, &SK_DROPS);
    // SAFETY: as in `met`.
    let Met { drops: before, slot, .. } = unsafe { *met };
    if drops != before {
        // SAFETY: as above; the totals are this CPU's.
        unsafe {
            (*met).drops = drops;
            if let Some(totals) = TOTALS.get_ptr_mut(slot) {
                (*totals).seen_drops = drops;
            }
        }
    }
    drops.wrapping_sub(before)
}

/// A listener has left the map: no note of any holds any more.
#[inline(always)]
pub(super) fn forget() {
    GENERATION.count();
}
