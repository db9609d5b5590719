//! A cache of recent listeners for this CPU, direct-mapped by address: it gives the slot of a
//! socket without a search, and holds what this CPU has seen of the listener.

use super::{
    maps::{MET, TOTALS},
    shared::GENERATION,
    values::CachedListener,
};
use crate::kernel::{
    globals::{MET_MASK, SK_DROPS},
    mptcp,
    pointers::{self, KernelPtr},
    read,
    types::Sock,
};

/// This CPU's entry of a listener, if it is valid.
#[inline(always)]
pub(crate) fn find(sk: *const Sock) -> Option<*mut CachedListener> {
    let cached = MET.get_ptr_mut(pointers::spread(sk) & MET_MASK.load())?;
    // SAFETY: a per-CPU element. A program that interrupts another one may overwrite it for the
    // same or another listener; then the lookup is repeated.
    let holds = unsafe { (*cached).sk == sk as u64 && (*cached).generation == GENERATION.get() };
    holds.then_some(cached)
}

/// Caches the slot of a listener, found in this generation.
#[inline(always)]
pub(crate) fn insert(sk: *const Sock, slot: u32, generation: u32) {
    let Some(cached) = MET.get_ptr_mut(pointers::spread(sk) & MET_MASK.load()) else { return };
    let joins = u32::from(mptcp::allows_joins(sk));
    // Another listener may have used this place since, so these are read from the totals.
    let Some(totals) = TOTALS.get_ptr_mut(slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let (drops, syn_queue) = unsafe { ((*totals).seen_drops, (*totals).syn_queue_peak) };
    // SAFETY: as in `find`. The entry is invalid until it is complete.
    unsafe {
        let holds = &raw mut (*cached).generation;
        holds.write_volatile(0);
        (&raw mut (*cached).sk).write_volatile(sk as u64);
        (&raw mut (*cached).slot).write_volatile(slot);
        (&raw mut (*cached).drops).write_volatile(drops);
        (&raw mut (*cached).syn_queue).write_volatile(syn_queue);
        (&raw mut (*cached).joins).write_volatile(joins);
        holds.write_volatile(generation);
    }
}

/// How many packets may have been dropped at a listener since this CPU's last call: the change of
/// `sk_drops`, which counts every drop.
#[inline(always)]
pub(crate) fn drops_since(cached: Option<*mut CachedListener>, sk: impl KernelPtr<Sock>) -> u32 {
    let Some(cached) = cached else { return u32::MAX };
    let drops: u32 = read::field(sk, &SK_DROPS);
    // SAFETY: as in `find`.
    let CachedListener { drops: before, slot, .. } = unsafe { *cached };
    if drops != before {
        // SAFETY: as above; the totals are this CPU's.
        unsafe {
            (*cached).drops = drops;
            if let Some(totals) = TOTALS.get_ptr_mut(slot) {
                (*totals).seen_drops = drops;
            }
        }
    }
    drops.wrapping_sub(before)
}

/// Invalidates all entries, because a listener has left the map.
#[inline(always)]
pub(crate) fn invalidate() {
    GENERATION.count();
}
