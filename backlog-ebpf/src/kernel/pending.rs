//! The connections that sit in an accept queue, by the address of their socket.
//!
//! An address is a sound key between the enqueue and the accept or the forget:
//! the queue holds a reference, so the socket cannot be freed in between. An
//! entry that was left behind is overwritten when the address is used again.

use super::{maps::PENDING, types::Sock};

/// When and where a connection was queued.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) enqueued_ns: u64,
    /// The listener's slot.
    pub(crate) slot: u32,
    /// Depth right after it was added.
    pub(crate) depth: u32,
    /// The listener's limit then.
    pub(crate) limit: u32,
    /// Always zero.
    pub(crate) pad: u32,
}

/// Remembers a queued connection. False: the table is full.
#[inline(always)]
pub(crate) fn put(child: *const Sock, pending: Pending) -> bool {
    PENDING.insert(child as u64, pending, 0).is_ok()
}

/// Takes a connection out, if it is known.
#[inline(always)]
pub(crate) fn take(child: *const Sock) -> Option<Pending> {
    let key = child as u64;
    // SAFETY: the entry of a queued connection is written once, at its enqueue,
    // and removed by the one who dequeues it.
    let found = unsafe { PENDING.get(key) }.copied()?;
    // It can only be missing if it was removed in between: nothing left to do.
    let _ = PENDING.remove(key);
    Some(found)
}
