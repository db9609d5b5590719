//! From the kernel's monotonic time to the time on the wall.
//!
//! The two are compared again with each batch of events and when the wall clock is set
//! (`steps`), so that a step during the run moves only what comes after it.

use jiff::Timestamp;
use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, clockid_t};
use serde::{Deserialize, Serialize};

/// From when on which difference holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    monotonic_ns: u64,
    offset_ns: i128,
}

/// The differences seen so far, in order of time; never empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    first: Mark,
    later: Vec<Mark>,
}

/// Smaller differences are the two readings' distance.
const DRIFT_NS: i128 = 1_000_000;

/// Smaller differences are the clock's own slewing, of half a millisecond a second.
const STEP_NS: i128 = 100_000_000;

impl Clock {
    /// Compares the clocks for the first time.
    pub(crate) fn start() -> Self {
        Self { first: measure(), later: Vec::new() }
    }

    /// A clock with a fixed difference, for made-up events.
    #[cfg(test)]
    pub(crate) fn fixed(offset_ns: i128) -> Self {
        Self { first: Mark { monotonic_ns: 0, offset_ns }, later: Vec::new() }
    }

    /// Compares the clocks again. By how much the wall clock was set meanwhile, in
    /// nanoseconds, if it was.
    pub(crate) fn compare(&mut self) -> Option<i128> {
        self.add(measure())
    }

    /// The same with the latest differences alone: a clock that is slewed has many.
    pub(crate) fn latest(&self) -> Self {
        const KEPT: usize = 64;
        let later = &self.later[self.later.len().saturating_sub(KEPT)..];
        Self { first: self.first, later: later.to_vec() }
    }

    /// How the clocks stood at first.
    pub(crate) fn first(&self) -> Mark {
        self.first
    }

    /// The difference that holds now.
    pub(crate) fn newest(&self) -> Mark {
        *self.later.last().unwrap_or(&self.first)
    }

    /// Takes a difference that holds from its time on.
    pub(crate) fn note(&mut self, mark: Mark) {
        self.later.push(mark);
    }

    fn add(&mut self, mark: Mark) -> Option<i128> {
        let last = self.newest();
        let step_ns = mark.offset_ns - last.offset_ns;
        if step_ns.abs() > DRIFT_NS {
            self.later.push(mark);
        }
        (step_ns.abs() > STEP_NS).then_some(step_ns)
    }

    /// The time on the wall at a monotonic time.
    pub(crate) fn wall(&self, monotonic_ns: u64) -> Timestamp {
        let mark = self
            .later
            .iter()
            .rev()
            .find(|mark| mark.monotonic_ns <= monotonic_ns)
            .unwrap_or(&self.first);
        Timestamp::from_nanosecond(i128::from(monotonic_ns) + mark.offset_ns).unwrap_or_default()
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds: what `bpf_ktime_get_ns` gives.
pub(crate) fn monotonic_ns() -> u64 {
    u64::try_from(read(CLOCK_MONOTONIC)).unwrap_or(0)
}

/// Reads both clocks. Who is not let run between the readings reads again.
fn measure() -> Mark {
    /// The readings are this close, nanoseconds, but for bad luck.
    const CLOSE: i128 = 1_000_000;
    const TRIES: u32 = 5;

    let mut best: Option<(i128, Mark)> = None;
    for _ in 0..TRIES {
        let before = read(CLOCK_MONOTONIC);
        let wall = read(CLOCK_REALTIME);
        let after = read(CLOCK_MONOTONIC);
        let middle = i128::midpoint(before, after);
        let monotonic_ns = u64::try_from(middle).unwrap_or(0);
        let mark = Mark { monotonic_ns, offset_ns: wall - middle };
        let apart = after - before;
        if best.is_none_or(|(least, _)| apart < least) {
            best = Some((apart, mark));
        }
        if apart < CLOSE {
            break;
        }
    }
    best.map_or(Mark { monotonic_ns: 0, offset_ns: 0 }, |(_, mark)| mark)
}

fn read(clock: clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the struct it is given; it cannot fail for these clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::{Clock, Mark};

    #[test]
    fn a_step_moves_only_what_comes_after() {
        let mut clock = Clock::fixed(1_000_000_000_000_000_000);
        let mark = |monotonic_ns, offset_ns| Mark { monotonic_ns, offset_ns };
        assert_eq!(clock.add(mark(500, 1_000_000_000_000_000_500)), None);
        assert_eq!(clock.add(mark(700, 1_000_000_000_002_000_000)), None);
        let step = clock.add(mark(1000, 1_000_003_600_002_000_000));
        assert_eq!(step, Some(3_600_000_000_000));
        assert_eq!(clock.wall(699).as_nanosecond(), 1_000_000_000_000_000_699);
        assert_eq!(clock.wall(999).as_nanosecond(), 1_000_000_000_002_000_999);
        assert_eq!(clock.wall(1001).as_nanosecond(), 1_000_003_600_002_001_001);
    }

    #[test]
    fn now_is_now() {
        let clock = Clock::start();
        let difference = jiff::Timestamp::now().duration_since(clock.wall(super::monotonic_ns()));
        assert!(difference.abs().as_secs() < 1);
    }
}
