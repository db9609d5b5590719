//! Who accepts at a listener, and whose `accept()` fails.

use core::mem::{offset_of, size_of};

/// Threads that are counted one by one at a listener.
pub const WORKERS: usize = 32;

/// Places that a thread may have: up to this many threads always find one.
pub const TRIES: usize = 8;

/// Distinct failed calls: by socket, process and error.
pub const FAILURES: usize = 512;

/// A thread that accepts at a listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// The process in the upper half, the thread in the lower one; zero: a free place.
    pub id: u64,
    /// Accepts. It wraps around.
    pub count: u32,
    /// Always zero.
    pub pad: u32,
    /// The name of the thread when it was counted first; of one of `io_uring`'s that of its process.
    pub comm: [u8; 16],
}

/// The threads that accept at one listener. Userspace empties it when the listener closes, and
/// when threads find no place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// By the hash of the thread.
    pub each: [Worker; WORKERS],
    /// Accepts of threads that have found no place. It wraps around.
    pub other: u32,
    /// Always zero.
    pub pad: u32,
}

/// The first place of a thread: its number is the host's only one, and those of a server are
/// mostly consecutive.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is the thread")]
#[inline(always)]
pub const fn place_of(id: u64) -> usize {
    id as usize & (WORKERS - 1)
}

/// Whose call of `accept()` has failed, and how.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailureKey {
    /// The inode number of the listener's socket; zero: not known.
    pub inode: u64,
    /// The process.
    pub pid: u32,
    /// The error, a positive number.
    pub errno: u32,
}

/// How often, and when.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The first and the last time, `CLOCK_MONOTONIC` nanoseconds.
    pub first_ns: u64,
    /// See there.
    pub last_ns: u64,
    /// How often.
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
