//! The connections that sit in an accept queue, by the address of their socket.
//!
//! An address is a sound key between the enqueue and the accept or the forget:
//! the queue holds a reference, so the socket cannot be freed in between. An
//! entry that was left behind is overwritten when the address is used again.

use aya_ebpf::bindings::BPF_NOEXIST;
use backlog_ebpf::pending::Pending;

use super::{maps::PENDING, types::Sock, waiting};

/// Remembers a queued connection. False: the table is full.
#[inline(always)]
pub(crate) fn put(child: *const Sock, pending: Pending) -> bool {
    PENDING.insert(child as u64, pending, 0).is_ok()
}

/// Takes a connection out, if it is known.
#[inline(always)]
pub(crate) fn take(child: *const Sock) -> Option<Pending> {
    if waiting::used() {
        let found = waiting::take(child);
        if found.is_some() || !waiting::crowded() {
            return found;
        }
    }
    take_of_map(child)
}

/// Takes a connection out of the map, if it is there.
#[inline(always)]
pub(crate) fn take_of_map(child: *const Sock) -> Option<Pending> {
    let key = child as u64;
    // SAFETY: the entry of a queued connection is written once, at its enqueue,
    // and removed by the one who dequeues it.
    let found = unsafe { PENDING.get(key) }.copied()?;
    // Who takes it first has it.
    PENDING.remove(key).ok()?;
    Some(found)
}

/// Remembers a connection that has been queued.
#[inline(always)]
pub(crate) fn added(child: *const Sock, pending: Pending) -> Added {
    match waiting::put(child, pending) {
        Some(added) => added,
        None if put(child, pending) => {
            waiting::crowd();
            Added::Kept
        }
        None => Added::Full,
    }
}

/// Notes that a connection is accepted whose enqueue has not been noted. True: such a note
/// was lost for it.
#[inline(always)]
pub(crate) fn early_accept(child: *const Sock, nameless: bool, now: u64) -> bool {
    waiting::early(child, nameless, now)
}

/// What became of a connection that was to be remembered.
pub(crate) enum Added {
    /// It is.
    Kept,
    /// It has been accepted already, at this time.
    Early(u64),
    /// There is no room.
    Full,
}

/// Notes that a connection has been added, with the depth then. It may have been
/// taken already; zero would mean that it was never added. What it met.
#[inline(always)]
pub(crate) fn confirm(child: *const Sock, depth: u32) -> u32 {
    let Some(pending) = PENDING.get_ptr_mut(child as u64) else { return depth };
    // SAFETY: an element of the map. Only the CPU that adds a connection
    // writes this field, while it has the connection's lock.
    unsafe {
        (*pending).depth = if depth == 0 { (*pending).expected } else { depth };
        (*pending).depth
    }
}

/// Notes of a queued connection that its client had been refused before, with this initial
/// sequence number; zero: it had not.
#[inline(always)]
pub(crate) fn had_been_refused(child: *const Sock, isn: u32) {
    if isn != 0
        && let Some(pending) = PENDING.get_ptr_mut(child as u64)
    {
        // SAFETY: an element of the map. Only the CPU that adds a connection writes this field.
        unsafe { (*pending).refused_isn = isn };
    }
}

/// Notes that a queued connection has gone to another listener. The slot of the one
/// before.
#[inline(always)]
pub(crate) fn moved(child: *const Sock, listener: *const Sock, slot: u32, now: u64) -> Option<u32> {
    let pending = match waiting::entry(child) {
        Some(entry) => entry,
        None => PENDING.get_ptr_mut(child as u64)?,
    };
    // SAFETY: an element of a map. The connection is in no queue at this moment,
    // so nobody takes it.
    unsafe {
        let before = (*pending).slot;
        (*pending).listener = listener as u64;
        (*pending).slot = slot;
        (*pending).since_ns = now;
        Some(before)
    }
}

/// The listener of a connection that was announced or noted, and whether it is known to
/// be queued.
#[inline(always)]
pub(crate) fn announced(child: *const Sock) -> Option<(*const Sock, bool)> {
    let pending = PENDING.get_ptr(child as u64)?;
    // SAFETY: an element of the map, which is not freed while a program runs.
    let Pending { listener, depth, enqueued_ns, .. } = unsafe { *pending };
    Some((listener as *const Sock, depth != 0 || enqueued_ns == 0))
}

/// Notes that a connection is accepted that is not yet known to be queued. False: it is by
/// now. (If both sides miss each other, it is counted when it ends.)
#[inline(always)]
pub(crate) fn early(child: *const Sock, now: u64) -> bool {
    let Some(pending) = PENDING.get_ptr_mut(child as u64) else { return false };
    // SAFETY: an element of the map; who confirms looks at `early_ns` after `depth` is set,
    // and this looks at `depth` after `early_ns` is.
    unsafe {
        (&raw mut (*pending).early_ns).write_volatile(now);
        (&raw const (*pending).depth).read_volatile() == 0
    }
}

/// Was a connection accepted before it was confirmed?
#[inline(always)]
pub(crate) fn was_early(child: *const Sock) -> bool {
    // SAFETY: as in `early`.
    PENDING
        .get_ptr(child as u64)
        .is_some_and(|pending| unsafe { (&raw const (*pending).early_ns).read_volatile() } != 0)
}

/// Notes a connection that was queued before the start, or that it still is.
#[inline(always)]
pub(crate) fn seed(child: *const Sock, entry: Pending) {
    waiting::crowd();
    if PENDING.insert(child as u64, entry, u64::from(BPF_NOEXIST)).is_ok() {
        return;
    }
    if let Some(pending) = PENDING.get_ptr_mut(child as u64) {
        // SAFETY: an element of the map; nobody else writes this field of one that was
        // queued before the start.
        unsafe {
            if (*pending).enqueued_ns == 0 {
                (*pending).expected = entry.expected;
            }
        }
    }
}

/// Forgets a connection that was not added after all.
#[inline(always)]
pub(crate) fn remove(child: *const Sock) {
    // It is not there if it was never announced.
    let _ = PENDING.remove(child as u64);
}
