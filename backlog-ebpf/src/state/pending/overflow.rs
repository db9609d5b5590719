//! The map of queued connections. With tracepoints it holds all of them, with hooks on functions
//! those whose place in the table (`fast`) is taken.

use aya_ebpf::bindings::BPF_NOEXIST;
use backlog_ebpf::pending::Pending;

use crate::kernel::types::Sock;
use crate::state::maps::{CROWDED, PENDING};

/// Stores a queued connection. Returns false if the map is full.
#[inline(always)]
pub(crate) fn insert(child: *const Sock, pending: Pending) -> bool {
    PENDING.insert(child as u64, pending, 0).is_ok()
}

/// Removes a connection from the map, if it is there.
#[inline(always)]
pub(crate) fn take(child: *const Sock) -> Option<Pending> {
    let key = child as u64;
    // SAFETY: the entry of a queued connection is written once, at its enqueue, and removed by the
    // program that dequeues it.
    let found = unsafe { PENDING.get(key) }.copied()?;
    // If two programs remove it, only the first one gets it.
    PENDING.remove(key).ok()?;
    Some(found)
}

/// Records that a connection has been queued, and returns the depth at that moment. If `depth` is
/// zero, the connection was accepted already, and the expected depth is recorded: zero would mean
/// that it was never queued.
#[inline(always)]
pub(crate) fn confirm(child: *const Sock, depth: u32) -> u32 {
    let Some(pending) = PENDING.get_ptr_mut(child as u64) else { return depth };
    // SAFETY: an element of the map. Only the CPU that queues a connection writes this field, while
    // it holds the connection's lock.
    unsafe {
        (*pending).depth = if depth == 0 { (*pending).expected } else { depth };
        (*pending).depth
    }
}

/// Records that the client of a queued connection had been refused before, with this initial
/// sequence number. Zero means that it had not.
#[inline(always)]
pub(crate) fn set_refused(child: *const Sock, isn: u32) {
    if isn != 0
        && let Some(pending) = PENDING.get_ptr_mut(child as u64)
    {
        // SAFETY: an element of the map. Only the CPU that queues a connection writes this field.
        unsafe { (*pending).refused_isn = isn };
    }
}

/// The listener of a connection that was announced or recorded, and whether it is known to be
/// queued.
#[inline(always)]
pub(crate) fn announced(child: *const Sock) -> Option<(*const Sock, bool)> {
    let pending = PENDING.get_ptr(child as u64)?;
    // SAFETY: an element of the map, which is not freed while a program runs.
    let Pending { listener, depth, enqueued_ns, .. } = unsafe { *pending };
    Some((listener as *const Sock, depth != 0 || enqueued_ns == 0))
}

/// Records the accept of a connection that is not yet known to be queued. Returns false if by now
/// it is. (If both sides miss each other, the accept is counted when the connection ends.)
#[inline(always)]
pub(crate) fn accept_before_enqueue(child: *const Sock, now: u64) -> bool {
    let Some(pending) = PENDING.get_ptr_mut(child as u64) else { return false };
    // SAFETY: an element of the map; the confirming program reads `early_ns` after it sets `depth`,
    // and this one reads `depth` after it sets `early_ns`.
    unsafe {
        (&raw mut (*pending).early_ns).write_volatile(now);
        (&raw const (*pending).depth).read_volatile() == 0
    }
}

/// Whether a connection was accepted before its enqueue was confirmed.
#[inline(always)]
pub(crate) fn was_accepted_before_enqueue(child: *const Sock) -> bool {
    // SAFETY: as in `accept_before_enqueue`.
    PENDING
        .get_ptr(child as u64)
        .is_some_and(|pending| unsafe { (&raw const (*pending).early_ns).read_volatile() } != 0)
}

/// Stores a connection that was queued before the start, or updates it if it is still queued.
#[inline(always)]
pub(crate) fn seed(child: *const Sock, entry: Pending) {
    mark_in_use();
    if PENDING.insert(child as u64, entry, u64::from(BPF_NOEXIST)).is_ok() {
        return;
    }
    if let Some(pending) = PENDING.get_ptr_mut(child as u64) {
        // SAFETY: an element of the map; nothing else writes this field of a connection that was
        // queued before the start.
        unsafe {
            if (*pending).enqueued_ns == 0 {
                (*pending).expected = entry.expected;
            }
        }
    }
}

/// Removes a connection that was announced but not queued.
#[inline(always)]
pub(crate) fn remove(child: *const Sock) {
    // A connection that was never announced is not in the map.
    let _ = PENDING.remove(child as u64);
}

/// The entry of a connection.
#[inline(always)]
pub(crate) fn entry(child: *const Sock) -> Option<*mut Pending> {
    PENDING.get_ptr_mut(child as u64)
}

/// Whether a connection has ever found its place in the table taken.
#[inline(always)]
pub(crate) fn in_use() -> bool {
    CROWDED.get(0).is_none_or(|crowded| *crowded != 0)
}

/// Makes programs search the map from now on.
#[inline(always)]
pub(crate) fn mark_in_use() {
    if let Some(crowded) = CROWDED.get_ptr_mut(0) {
        // SAFETY: an element of an array; every writer writes the same value.
        unsafe { *crowded = 1 };
    }
}
