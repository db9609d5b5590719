//! Detects queues that are nearly full: the peak of an accept queue reaches a share of its limit.
//! The eBPF programs measure the peaks, so none between two readings is missed.

use std::collections::BTreeMap;

use super::interval::Interval;
use crate::event::ListenerId;

/// The beginning of a period of high use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighUse {
    /// The listener.
    pub listener: ListenerId,
    /// When it was detected: at the end of an interval, or at an event that shows it.
    pub time_ns: u64,
    /// When the peak was; none: at an unknown time in the interval that has just ended.
    pub peak_ns: Option<u64>,
    /// The depth of the peak.
    pub depth: u32,
    /// Its limit then.
    pub limit: u32,
    /// The configured level, percent of the limit.
    pub level: u32,
}

impl HighUse {
    /// `peak 103/128 reaches 80 % of the limit`
    #[must_use]
    pub fn words(&self) -> String {
        let Self { depth, limit, level, peak_ns, .. } = self;
        let when = if peak_ns.is_none() { " in the last interval" } else { "" };
        format!("peak {depth}/{limit}{when} reaches {level} % of the limit")
    }
}

/// A period of high use ends when the queue has stayed below the level for this long, or for an
/// interval if that is longer.
pub const REST_NS: u64 = 10_000_000_000;

/// Detects where periods of high use begin.
#[derive(Debug, Default)]
pub struct HighUseWatch {
    /// Percent of the limit; none: disabled.
    level: Option<u32>,
    /// The listeners with high use, and when it was last seen.
    high: BTreeMap<ListenerId, u64>,
}

impl HighUseWatch {
    /// A watch for this share of the limit, percent.
    #[must_use]
    pub fn new(level: Option<u32>) -> Self {
        Self { level, high: BTreeMap::new() }
    }

    /// Records the depth of a queue. Returns a period of high use that begins with it.
    pub fn saw(
        &mut self,
        listener: ListenerId,
        time_ns: u64,
        (depth, limit): (u32, u32),
    ) -> Option<HighUse> {
        self.note(HighUse { listener, time_ns, peak_ns: Some(time_ns), depth, limit, level: 0 })
    }

    /// Ends an interval with these rows. Returns the periods of high use that begin.
    pub fn interval(&mut self, time_ns: u64, rows: &[Interval]) -> Vec<HighUse> {
        if self.level.is_none() {
            return Vec::new();
        }
        let begun = rows.iter().filter_map(|row| {
            let Interval { listener, peak, peak_limit: limit, peak_ns, .. } = *row;
            self.note(HighUse { listener, time_ns, peak_ns, depth: peak, limit, level: 0 })
        });
        let begun = begun.collect();
        let rest_ns = rows.iter().map(|row| row.elapsed_ns).fold(REST_NS, u64::max);
        self.high.retain(|_, last_ns| time_ns.saturating_sub(*last_ns) < rest_ns);
        begun
    }

    fn note(&mut self, high: HighUse) -> Option<HighUse> {
        let level = self.level?;
        // The kernel lets one connection in at a limit of zero.
        let share = u64::from(level) * u64::from(high.limit.max(1));
        if high.depth == 0 || u64::from(high.depth) * 100 < share {
            return None;
        }
        let before = self.high.insert(high.listener, high.time_ns);
        before.is_none().then_some(HighUse { level, ..high })
    }
}

#[cfg(test)]
mod tests {
    use super::{HighUse, HighUseWatch, REST_NS};
    use crate::event::ListenerId;
    use crate::model::interval::Interval;

    const ID: ListenerId = ListenerId(1);
    const SECOND_NS: u64 = 1_000_000_000;

    fn row(peak: u32, limit: u32) -> Interval {
        Interval { elapsed_ns: SECOND_NS, ..Interval::made_up(ID, peak, limit) }
    }

    #[test]
    fn the_level_is_reached_and_not_only_passed() {
        for (level, depth, limit, is_high) in [
            (80, 102, 128, false),
            (80, 103, 128, true),
            (80, 8, 10, true),
            (100, 9, 10, false),
            (100, 10, 10, true),
            (110, 10, 10, false),
            (110, 11, 10, true),
            // One connection fits into a queue with a limit of zero.
            (80, 1, 0, true),
            (100, 1, 0, true),
            (80, 0, 0, false),
            (1, 0, 10, false),
            (1000, u32::MAX, u32::MAX, false),
        ] {
            let seen = HighUseWatch::new(Some(level)).saw(ID, 5, (depth, limit));
            assert_eq!(seen.is_some(), is_high, "{depth} of {limit} at {level} %");
        }
        assert_eq!(HighUseWatch::new(None).saw(ID, 5, (10, 1)), None);
        assert_eq!(HighUseWatch::new(None).interval(5, &[row(10, 1)]), []);
    }

    #[test]
    fn a_period_of_high_use_is_told_once() {
        let mut watch = HighUseWatch::new(Some(80));
        let times = |watch: &mut HighUseWatch, peaks: &[u32], from_ns: u64| -> Vec<u64> {
            let ends = (1..).map(|second| from_ns + second * SECOND_NS);
            let begun = peaks
                .iter()
                .zip(ends)
                .flat_map(|(peak, end)| watch.interval(end, &[row(*peak, 10)]));
            begun.map(|high: HighUse| (high.time_ns - from_ns) / SECOND_NS).collect()
        };
        assert_eq!(times(&mut watch, &[7, 8, 9, 2, 9, 8], 0), [2]);
        let mut watch = HighUseWatch::new(Some(80));
        // After 9 in the first second, it stays below for ten seconds.
        let peaks = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9];
        assert_eq!(REST_NS, 10 * SECOND_NS);
        assert_eq!(times(&mut watch, &peaks, 0), [1, 12]);
        let mut watch = HighUseWatch::new(Some(80));
        let peaks = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9];
        assert_eq!(times(&mut watch, &peaks, 0), [1]);
    }

    #[test]
    fn each_listener_has_its_own_period() {
        let mut watch = HighUseWatch::new(Some(50));
        let other = Interval { listener: ListenerId(2), ..row(3, 4) };
        let begun = watch.interval(SECOND_NS, &[row(3, 4), other.clone()]);
        assert_eq!(begun.iter().map(|high| high.listener.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(watch.interval(2 * SECOND_NS, &[row(3, 4), other]), []);
    }
}
