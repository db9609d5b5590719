//! A connection that sits in an accept queue, as the table of queued connections
//! keeps it. Its key is the address of the connection's socket.

use core::mem::{offset_of, size_of};

/// States of the startup scan of the queues: not begun; the iterator only reports its namespace.
pub const SEED_NONE: u32 = 0;
/// It records queued connections before the programs begin.
pub const SEED_BEFORE: u32 = 1;
/// It records queued connections after the programs have begun.
pub const SEED_AFTER: u32 = 2;
/// The scan is complete; the iterator behaves as before it.
pub const SEED_DONE: u32 = 3;
/// The run has begun: the iterator records this for namespaces that are created from now on.
pub const SEED_BEGUN: u32 = 4;

/// What the scan writes if a queue is longer than one run.
pub static ITER_MORE: u8 = b'+';
/// What it writes after the last listener.
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
    /// Depth right before, plus one: the value of `depth` unless other connections come or go at
    /// the same time. For a connection queued before the start: the scan that saw it last,
    /// [`SEED_BEFORE`] or [`SEED_AFTER`].
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
