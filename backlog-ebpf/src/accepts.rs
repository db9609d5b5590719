//! The layout of two tables: the threads that accept at a listener, and the `accept()` calls that
//! fail.

use core::mem::{offset_of, size_of};

/// Threads that are counted individually at a listener.
pub const WORKERS: usize = 32;

/// Places that are tried for a thread: up to this many threads always find one.
pub const TRIES: usize = 8;

/// Distinct failures that are kept: a socket, a process and an error.
pub const FAILURES: usize = 512;

/// A thread that accepts at a listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// The process in the upper half, the thread in the lower one; zero means a free place.
    pub id: u64,
    /// Accepts. It wraps around.
    pub count: u32,
    /// Always zero.
    pub pad: u32,
    /// The name of the thread when it was first counted; for a thread of `io_uring`, that of its
    /// process.
    pub comm: [u8; 16],
}

/// The threads that accept at one listener. Userspace clears it when the listener closes, and when
/// threads find no place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// Placed by [`place_of`].
    pub each: [Worker; WORKERS],
    /// Accepts of threads that found no place. It wraps around.
    pub other: u32,
    /// Always zero.
    pub pad: u32,
}

/// The first place to try for a thread. Thread ids are unique on the host, and those of a server
/// are mostly consecutive.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is the thread")]
#[inline(always)]
pub const fn place_of(id: u64) -> usize {
    id as usize & (WORKERS - 1)
}

/// Which process's `accept()` failed, at which socket, and with which error.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailureKey {
    /// The inode number of the listener's socket; zero means unknown.
    pub inode: u64,
    /// The process.
    pub pid: u32,
    /// The error, a positive number.
    pub errno: u32,
}

/// How often a call failed, and when.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The time of the first failure, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: u64,
    /// The time of the last failure.
    pub last_ns: u64,
    /// The number of failures.
    pub count: u32,
    /// Always zero.
    pub pad: u32,
    /// The name of the thread that failed first.
    pub comm: [u8; 16],
}

const _: () = {
    assert!(WORKERS.is_power_of_two() && TRIES <= WORKERS);
    assert!(size_of::<Worker>() == 32);
    assert!(offset_of!(Worker, count) == 8);
    assert!(size_of::<Workers>() == 32 * WORKERS + 8);
    assert!(size_of::<FailureKey>() == 16);
    assert!(size_of::<Failure>() == 40);
    assert!(offset_of!(Failure, count) == 16);
};

#[cfg(test)]
mod tests {
    use super::{WORKERS, place_of};

    #[test]
    fn threads_that_were_started_together_have_places_of_their_own() {
        let place = |pid: u64, tid: u64| place_of(pid << 32 | tid);
        for tid in 1000..1031 {
            assert!(place(tid, tid) < WORKERS);
            assert_eq!(place(7, tid + 1), (place(tid, tid) + 1) % WORKERS);
        }
    }
}
