//! A queued connection, as the table of queued connections stores it, keyed by the address of the
//! connection's socket.

use core::mem::{offset_of, size_of};

/// States of the startup scan of the queues. Not started: the iterator only reports its namespace.
pub const SEED_NONE: u32 = 0;
/// The iterator records queued connections before the programs start.
pub const SEED_BEFORE: u32 = 1;
/// The iterator records queued connections after the programs have started.
pub const SEED_AFTER: u32 = 2;
/// The scan is complete; the iterator behaves as before it.
pub const SEED_DONE: u32 = 3;
/// The run has started: the iterator records this, to recognise namespaces that are created later.
pub const SEED_BEGUN: u32 = 4;

/// What the iterator writes if a queue is longer than one run.
pub static ITER_MORE: u8 = b'+';
/// What it writes after the last listener.
pub static ITER_DONE: u8 = b'.';

/// When and where a connection was queued.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// When it was queued, `CLOCK_MONOTONIC` nanoseconds; zero for one that was queued before the
    /// start.
    pub enqueued_ns: u64,
    /// The listener's address.
    pub listener: u64,
    /// Since when it belongs to this listener: since it was queued, or since it migrated here.
    pub since_ns: u64,
    /// The listener's slot.
    pub slot: u32,
    /// Depth right after it was queued; zero until then.
    pub depth: u32,
    /// Depth right before, plus one: equal to `depth` unless other connections arrive or leave at
    /// the same time. For a connection queued before the start: the scan that saw it last,
    /// [`SEED_BEFORE`] or [`SEED_AFTER`].
    pub expected: u32,
    /// The initial sequence number of a client that was refused before, for the record of how it
    /// leaves the queue; zero if it was not refused.
    pub refused_isn: u32,
    /// When it was accepted, if that was seen before its enqueue: the program that confirms the
    /// enqueue then removes the entry. Zero otherwise.
    pub early_ns: u64,
}

/// In [`Waiting::early_ns`]: the connection no longer had a port.
pub const NAMELESS: u64 = 1 << 63;

/// A place in the table of queued connections that hooks on functions use. A connection has one
/// place, by its socket's address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The address of the child's socket that `entry` describes; zero: none.
    pub child: u64,
    /// The address of a child that was accepted before it was recorded here; zero: none.
    pub early: u64,
    /// When that child was accepted, possibly with [`NAMELESS`].
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
