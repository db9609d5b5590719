//! The distributions of waits and depths: buckets that the programs increment and userspace reads
//! as memory. Each power of two is divided into 32 buckets, so a bucket is at most 1/32 of its
//! value wide; below 64 each value has its own.
//!
//! The layout is that of the crate `histogram`, which userspace uses. The buckets count the value
//! minus one, so that a power of two is the last value of its bucket, not the first of the next.

use core::mem::size_of;

use crate::crowd::Crowd;
use crate::pace::Pace;

/// The number of buckets per power of two, as a power of two.
pub const GROUPING: u8 = 5;

/// The limit of waits in microseconds, as a power of two: 19 hours.
pub const WAIT_POWER: u8 = 36;

/// The limit of depths, as a power of two.
pub const DEPTH_POWER: u8 = 20;

/// The number of buckets for values below `2^power`.
const fn buckets(power: u8) -> usize {
    ((power - GROUPING + 1) as usize) << GROUPING
}

/// The number of buckets of waits.
pub const WAITS: usize = buckets(WAIT_POWER);

/// The number of buckets of depths.
pub const DEPTHS: usize = buckets(DEPTH_POWER);

/// The value of `trough` without an arrival since the last record.
pub const NO_TROUGH: u32 = u32::MAX;

/// The counts of one listener, on all CPUs. They wrap around: userspace adds up the differences.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distributions {
    /// Accepted connections by their wait in microseconds, rounded up, minus one.
    pub waits: [u32; WAITS],
    /// Arrivals by the depth of the queue with them, minus one.
    pub depths: [u32; DEPTHS],
    /// When the last connection was accepted, `CLOCK_MONOTONIC` nanoseconds.
    pub accepted_ns: u64,
    /// When the acceptor was last recorded: at that accept, or up to a millisecond before.
    pub noted_ns: u64,
    /// Who accepted then: the process in the upper half, the thread in the lower one.
    pub acceptor: u64,
    /// How long the queue was empty, nanoseconds: from an accept to the arrival that found it
    /// empty.
    pub idle_ns: u64,
    /// How much of this time the acceptor was idle ([`Pace::free_ns`]).
    pub free_ns: u64,
    /// When a drop record was last sent.
    pub refused_ns: u64,
    /// The smallest depth that an arrival has found since the last record of a drop or of a
    /// returning client; [`NO_TROUGH`] if there was no arrival.
    pub trough: u32,
    /// Arrivals, for estimates: two CPUs that count at the same time may add only one.
    pub arrived: u32,
    /// `arrived` before the arrival that last found the queue empty.
    pub filled_arrived: u32,
    /// Always zero.
    pub pad: u32,
    /// How fast connections are accepted while others wait.
    pub pace: Pace,
    /// When an arrival last found the queue empty. While a connection is queued, the queue has not
    /// been empty since.
    pub filled_ns: u64,
    /// SYNs that were answered with a cookie because the SYN queue was full.
    pub crowd: Crowd,
    /// A depth that some CPU has recorded in its [`Totals`](crate::totals::Totals) for this epoch,
    /// as a [`mark`]: an arrival in the same epoch at the same or a smaller depth changes no peak.
    pub deepest: u64,
    /// The same for a wait, in steps of [`WAIT_STEP`] and rounded down: an accept in the same epoch
    /// after fewer steps is not the longest.
    pub longest: u64,
}

/// The step of [`Distributions::longest`] in nanoseconds, as a power of two.
pub const WAIT_STEP: u32 = 10;

/// An epoch and a value in one word, which a program reads and writes as a whole.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[inline(always)]
pub const fn mark(epoch: u32, value: u32) -> u64 {
    (epoch as u64) << u32::BITS | value as u64
}

/// The value of a mark, if the mark belongs to this epoch.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is the value")]
#[inline(always)]
pub const fn marked(mark: u64, epoch: u32) -> Option<u32> {
    if mark >> u32::BITS == epoch as u64 { Some(mark as u32) } else { None }
}

impl Distributions {
    /// Empty counts.
    pub const EMPTY: Self = Self {
        waits: [0; WAITS],
        depths: [0; DEPTHS],
        accepted_ns: 0,
        noted_ns: 0,
        acceptor: 0,
        idle_ns: 0,
        free_ns: 0,
        refused_ns: 0,
        trough: NO_TROUGH,
        arrived: 0,
        filled_arrived: 0,
        pad: 0,
        pace: Pace::NONE,
        filled_ns: 0,
        crowd: Crowd::NONE,
        deepest: 0,
        longest: 0,
    };
}

/// The bucket of a value; values too large for `count` buckets fall into the last one. `count` is a
/// power of two, so that a mask proves to the verifier that the bucket is in range.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[allow(clippy::cast_possible_truncation, reason = "there are a thousand buckets at most")]
#[inline(always)]
pub const fn bucket(value: u64, count: usize) -> u32 {
    let power = (count >> GROUPING) as u32 + GROUPING as u32 - 1;
    if value >> power != 0 {
        return count as u32 - 1;
    }
    if value < 64 {
        return value as u32;
    }
    let mut value = value;
    let mut shift = 0;
    // A binary search: eBPF has no instruction that counts leading zeros.
    if value >> 22 != 0 {
        value >>= 16;
        shift += 16;
    }
    if value >> 14 != 0 {
        value >>= 8;
        shift += 8;
    }
    if value >> 10 != 0 {
        value >>= 4;
        shift += 4;
    }
    if value >> 8 != 0 {
        value >>= 2;
        shift += 2;
    }
    if value >> 7 != 0 {
        value >>= 1;
        shift += 1;
    }
    // The value is now 64 to 127.
    value >>= 1;
    shift += 1;
    ((shift << GROUPING) + value as u32) & (count as u32 - 1)
}

/// Whole microseconds. A division costs a program more than the multiplication, which is exact for
/// 32-bit values.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[inline(always)]
pub const fn micros(ns: u64) -> u64 {
    /// 2^38 / 1000, rounded up.
    const INVERSE: u64 = 274_877_907;

    if ns >> u32::BITS == 0 { (ns * INVERSE) >> 38 } else { ns / 1000 }
}

/// The smallest value of a bucket.
#[must_use]
pub const fn first(bucket: u32) -> u64 {
    let shift = (bucket >> GROUPING).saturating_sub(1);
    ((bucket - (shift << GROUPING)) as u64) << shift
}

const _: () = assert!(WAITS.is_power_of_two() && DEPTHS.is_power_of_two());
const _: () = assert!(size_of::<Distributions>() == 4 * (WAITS + DEPTHS) + 136);

#[cfg(test)]
mod tests {
    use super::{DEPTHS, WAITS, bucket, first, mark, marked, micros};

    fn last(count: usize) -> u32 {
        u32::try_from(count).unwrap() - 1
    }

    #[test]
    fn a_bucket_begins_where_the_one_before_ends() {
        for index in 1..=last(WAITS) {
            let begin = first(index);
            assert_eq!(bucket(begin, WAITS), index, "{begin}");
            assert_eq!(bucket(begin - 1, WAITS), index - 1, "{begin}");
        }
        assert_eq!(first(0), 0);
    }

    #[test]
    fn microseconds_are_whole_ones() {
        let limit = u64::from(u32::MAX);
        let near = |ns: u64| (ns.saturating_sub(1001)..=ns + 1001).step_by(7);
        let spread = (0..=limit).step_by(65_521);
        for ns in spread.chain(near(0)).chain(near(limit)).chain([999, 1000, 1001, u64::MAX]) {
            assert_eq!(micros(ns), ns / 1000, "{ns}");
        }
        // A reciprocal first goes wrong at the last nanosecond of a microsecond.
        for ns in (999..=limit).step_by(1_000_000).chain([limit / 1000 * 1000 - 1]) {
            assert_eq!(micros(ns), ns / 1000, "{ns}");
        }
    }

    #[test]
    fn a_mark_holds_in_its_epoch() {
        assert_eq!(marked(mark(7, u32::MAX), 7), Some(u32::MAX));
        assert_eq!(marked(mark(7, 3), 8), None);
        assert_eq!(marked(mark(u32::MAX, 0), u32::MAX), Some(0));
    }

    #[test]
    fn what_is_too_large_is_in_the_last() {
        assert_eq!(bucket(u64::MAX, WAITS), last(WAITS));
        assert_eq!(bucket((1 << 20) - 1, DEPTHS), last(DEPTHS));
        assert_eq!(bucket(1 << 20, DEPTHS), last(DEPTHS));
    }
}
