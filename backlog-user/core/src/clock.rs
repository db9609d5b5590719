//! Converts the kernel's monotonic time to wall-clock time.
//!
//! The two clocks are compared with each batch of events and when the wall clock is set, so that a
//! step during the run changes only the times after it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The difference between the two clocks, from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The time from which it holds, nanoseconds.
    pub monotonic_ns: u64,
    /// Wall-clock time minus monotonic time, nanoseconds.
    pub offset_ns: i128,
}

/// The differences seen so far, in order of time; never empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Marks")]
pub struct Clock {
    first: Mark,
    later: Vec<Mark>,
}

/// A clock as deserialized: its order is not trusted.
#[derive(Deserialize)]
struct Marks {
    first: Mark,
    later: Vec<Mark>,
}

impl From<Marks> for Clock {
    fn from(Marks { first, later }: Marks) -> Self {
        let mut clock = Self::new(first);
        for mark in later {
            clock.note(mark);
        }
        clock
    }
}

/// Smaller differences come from the time between the two readings.
const DRIFT_NS: i128 = 1_000_000;

/// Smaller differences are the clock's own slewing, of half a millisecond per second.
const STEP_NS: i128 = 100_000_000;

impl Clock {
    /// A clock that starts with this difference.
    #[must_use]
    pub fn new(first: Mark) -> Self {
        Self { first, later: Vec::new() }
    }

    /// A clock with a fixed difference, for synthetic events.
    #[cfg(any(test, feature = "fixtures"))]
    #[must_use]
    pub fn fixed(offset_ns: i128) -> Self {
        Self { first: Mark { monotonic_ns: 0, offset_ns }, later: Vec::new() }
    }

    /// The same clock with only the latest differences: a clock that is slewed has many.
    #[must_use]
    pub fn latest(&self) -> Self {
        const KEPT: usize = 64;
        let later = &self.later[self.later.len().saturating_sub(KEPT)..];
        Self { first: self.first, later: later.to_vec() }
    }

    /// The first comparison of the clocks.
    #[must_use]
    pub fn first(&self) -> Mark {
        self.first
    }

    /// The latest difference.
    #[must_use]
    pub fn newest(&self) -> Mark {
        *self.later.last().unwrap_or(&self.first)
    }

    /// Adds a difference that holds from its time on. It replaces those of later times.
    pub fn note(&mut self, mark: Mark) {
        while self.later.pop_if(|last| last.monotonic_ns >= mark.monotonic_ns).is_some() {}
        self.later.push(mark);
    }

    /// The number of later differences.
    #[must_use]
    pub fn marks(&self) -> usize {
        self.later.len()
    }

    /// Adds a difference if it has changed. Returns by how many nanoseconds the wall clock was
    /// stepped, if it was.
    pub fn add(&mut self, mark: Mark) -> Option<i128> {
        let last = self.newest();
        let step_ns = mark.offset_ns.saturating_sub(last.offset_ns);
        if step_ns.abs() > DRIFT_NS {
            self.note(mark);
        }
        (step_ns.abs() > STEP_NS).then_some(step_ns)
    }

    /// The wall-clock time at a monotonic time.
    #[must_use]
    pub fn wall(&self, monotonic_ns: u64) -> Timestamp {
        let later = self.later.partition_point(|mark| mark.monotonic_ns <= monotonic_ns);
        let mark = later.checked_sub(1).and_then(|last| self.later.get(last));
        let mark = mark.unwrap_or(&self.first);
        let wall_ns = mark.offset_ns.saturating_add(monotonic_ns.into());
        Timestamp::from_nanosecond(wall_ns).unwrap_or_default()
    }
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

    /// Marks are kept in the order of time, in whatever order they are added.
    #[test]
    fn the_mark_noted_last_holds_and_what_it_overrides_is_not_kept() {
        let mut clock = Clock::fixed(0);
        let mark = |monotonic_ns, offset_ns| Mark { monotonic_ns, offset_ns };
        for time_ns in (1000..1000 + 60_000).rev() {
            clock.note(mark(time_ns, 7));
        }
        assert_eq!(clock.marks(), 1);
        clock.note(mark(2000, 8));
        clock.note(mark(3000, 9));
        clock.note(mark(2500, 10));
        let walls = [999, 1500, 2400, 2500, 4000].map(|time_ns| {
            i64::try_from(clock.wall(time_ns).as_nanosecond()).unwrap() - time_ns.cast_signed()
        });
        assert_eq!(walls, [0, 7, 8, 10, 10]);
        let text = r#"{"first":{"monotonic_ns":0,"offset_ns":1},"later":[
            {"monotonic_ns":9,"offset_ns":2},{"monotonic_ns":5,"offset_ns":3}]}"#;
        let read: Clock = serde_json::from_str(text).unwrap();
        assert_eq!((read.marks(), read.newest()), (1, mark(5, 3)));
    }
}
