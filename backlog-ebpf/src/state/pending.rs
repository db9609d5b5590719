//! The connections that sit in an accept queue, by the address of their socket.
//!
//! An address is a sound key between the enqueue and the accept or the forget:
//! the queue holds a reference, so the socket cannot be freed in between. An
//! entry that was left behind is overwritten when the address is used again.

pub(crate) mod fast;
pub(crate) mod overflow;

use backlog_ebpf::pending::Pending;

use crate::kernel::types::Sock;

/// What became of a connection that was to be remembered.
pub(crate) enum InsertOutcome {
    /// It is.
    Kept,
    /// It has been accepted already, at this time.
    AcceptedBefore(u64),
    /// There is no room.
    Full,
}

/// Remembers a connection that has been queued.
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

/// Takes a connection out, if it is known.
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

/// Notes that a queued connection has gone to another listener. The slot of the one
/// before.
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
