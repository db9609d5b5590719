//! The connections in accept queues, by the address of their socket.
//!
//! The address is a safe key between the enqueue and the accept or the end: the queue holds a
//! reference, so the socket cannot be freed in between. A stale entry is overwritten when the
//! address is reused.

pub(crate) mod fast;
pub(crate) mod overflow;

use backlog_ebpf::pending::Pending;

use crate::kernel::types::Sock;

/// The outcome of an insertion.
pub(crate) enum InsertOutcome {
    /// The connection is stored.
    Kept,
    /// The connection has already been accepted, at this time.
    AcceptedBefore(u64),
    /// There is no room for it.
    Full,
}

/// Stores a connection that has been queued.
#[inline(always)]
pub(crate) fn insert(child: *const Sock, pending: Pending) -> InsertOutcome {
    match fast::insert(child, pending) {
        Some(added) => added,
        None if overflow::insert(child, pending) => {
            overflow::mark_in_use();
            InsertOutcome::Kept
        }
        None => InsertOutcome::Full,
    }
}

/// Removes a connection and returns its entry, if it is known.
#[inline(always)]
pub(crate) fn take(child: *const Sock) -> Option<Pending> {
    if fast::is_used() {
        let found = fast::take(child);
        if found.is_some() || !overflow::in_use() {
            return found;
        }
    }
    overflow::take(child)
}

/// Records that a queued connection has migrated to another listener. Returns the slot of the
/// previous one.
#[inline(always)]
pub(crate) fn move_to(
    child: *const Sock,
    listener: *const Sock,
    slot: u32,
    now: u64,
) -> Option<u32> {
    let pending = match fast::entry(child) {
        Some(entry) => entry,
        None => overflow::entry(child)?,
    };
    // SAFETY: an element of a map. The connection is in no queue at this moment, so it cannot be
    // accepted.
    unsafe {
        let before = (*pending).slot;
        (*pending).listener = listener as u64;
        (*pending).slot = slot;
        (*pending).since_ns = now;
        Some(before)
    }
}
