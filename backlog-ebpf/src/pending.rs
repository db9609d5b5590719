//! A connection that sits in an accept queue, as the table of queued connections
//! keeps it. Its key is the address of the connection's socket.

use core::mem::{offset_of, size_of};

/// What the look into the queues at the start does: it has not begun, and the iterator only
/// says which namespace it runs in.
pub const SEED_NONE: u32 = 0;
/// It notes what is queued, before the programs begin.
pub const SEED_BEFORE: u32 = 1;
/// It notes what is queued, after they have begun.
pub const SEED_AFTER: u32 = 2;
/// It is over: as before it began.
pub const SEED_DONE: u32 = 3;
/// The run has begun: the iterator notes it for namespaces that are made from now on.
pub const SEED_BEGUN: u32 = 4;

/// What the look writes where a queue is longer than one run.
pub static ITER_MORE: u8 = b'+';
/// What it writes when there are no more listeners.
pub static ITER_DONE: u8 = b'.';

/// When and where a connection was queued.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// `CLOCK_MONOTONIC` nanoseconds, right before it was added; zero for one that was
    /// queued before the start.
    pub enqueued_ns: u64,
    /// The listener's address.
    pub listener: u64,
    /// Since when it has been this listener's: since it was added, or since it
    /// migrated here.
    pub since_ns: u64,
    /// The listener's slot.
    pub slot: u32,
    /// Depth right after it was added; zero until it has been.
    pub depth: u32,
    /// Depth right before, and one: what `depth` will be unless others come or
    /// go at the same time. Of one that was queued before the start: which look saw it
    /// last, [`SEED_BEFORE`] or [`SEED_AFTER`].
    pub expected: u32,
    /// The initial sequence number of a client that had been refused before, for the record of
    /// how it leaves the queue; zero: it had not been.
    pub refused_isn: u32,
    /// When it was accepted, if that was before it was known to be queued: who confirms it
    /// ends it then. Zero otherwise.
    pub early_ns: u64,
}

/// In [`Waiting::early_ns`]: the connection had no port any more.
pub const NAMELESS: u64 = 1 << 63;

/// A place in the table of connections that hooks on functions keep: found by the child's
/// address, in one of two ways at most.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The address of the child's socket that `entry` is of; zero: none.
    pub child: u64,
    /// The address of a child that was accepted before it was entered here; zero: none.
    pub early: u64,
    /// When that was accepted, perhaps with [`NAMELESS`].
    pub early_ns: u64,
    /// When and where `child` was queued.
    pub entry: Pending,
}

const _: () = {
    assert!(size_of::<Waiting>() == 72);
    assert!(offset_of!(Pending, listener) == 8);
    assert!(offset_of!(Pending, since_ns) == 16);
    assert!(offset_of!(Pending, slot) == 24);
    assert!(offset_of!(Pending, depth) == 28);
    assert!(offset_of!(Pending, expected) == 32);
    assert!(offset_of!(Pending, refused_isn) == 36);
    assert!(offset_of!(Pending, early_ns) == 40);
    assert!(size_of::<Pending>() == 48);
};
