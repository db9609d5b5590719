//! The recent history of every queue: a point for each interval in which a listener was active, in
//! a ring of bounded length and size.

use std::collections::VecDeque;

use backlog_core::event::ListenerId;
use backlog_core::model::interval::Interval;
use serde::Serialize;

use super::Moment;

/// How far it reaches back, in milliseconds.
pub(crate) const LENGTH_MS: i64 = 15 * 60 * 1000;

/// The maximum number of points of all listeners: at 24 bytes each, 4.8 MB.
const MOST: usize = 200_000;

/// One listener in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) listener: ListenerId,
    pub(crate) depth: u32,
    pub(crate) peak: u32,
    pub(crate) limit: u32,
    pub(crate) drops: u32,
}

impl Point {
    pub(super) fn of(row: &Interval) -> Self {
        let Interval { listener, depth, peak, limit, .. } = *row;
        let drops = u32::try_from(row.dropped()).unwrap_or(u32::MAX);
        Self { listener, depth, peak, limit, drops }
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Past {
    intervals: VecDeque<(i64, Box<[Point]>)>,
    points: usize,
    /// Points before this time were evicted because there were too many.
    evicted_ms: Option<i64>,
    missed: u64,
}

/// The history of one listener, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    listener: u32,
    /// The first interval that is kept; earlier ones are unknown.
    from_ms: Option<i64>,
    /// Is it shorter than it should be, because too many listeners are busy?
    cut: bool,
    /// The number of missing intervals.
    missed: u64,
    /// Time in milliseconds, depth, peak, limit and drops; between two points nothing happened.
    points: Vec<(i64, u32, u32, u32, u32)>,
}

impl Past {
    /// Adds the points of an interval.
    pub(crate) fn push(&mut self, moment: Moment) {
        let Moment { time_ms, points, missed, frame: _ } = moment;
        self.missed += missed;
        self.points += points.len();
        self.intervals.push_back((time_ms, points.into_boxed_slice()));
        while let Some((first_ms, _)) = self.intervals.front() {
            let is_over = *first_ms < time_ms.saturating_sub(LENGTH_MS);
            if !is_over && self.points <= MOST {
                break;
            }
            self.evicted_ms = (!is_over).then_some(*first_ms).or(self.evicted_ms);
            let (_, points) = self.intervals.pop_front().unwrap_or_default();
            self.points -= points.len();
        }
    }

    /// The history of a listener.
    pub(crate) fn of(&self, listener: ListenerId) -> History {
        let from_ms = self.intervals.front().map(|(first_ms, _)| *first_ms);
        let is_recent = |evicted_ms| self.now_ms().is_some_and(|now| now - evicted_ms < LENGTH_MS);
        let points = self.intervals.iter().filter_map(|(time_ms, points)| {
            let at = points.binary_search_by_key(&listener, |point| point.listener).ok()?;
            let Point { depth, peak, limit, drops, .. } = *points.get(at)?;
            Some((*time_ms, depth, peak, limit, drops))
        });
        History {
            listener: listener.0,
            from_ms,
            cut: self.evicted_ms.is_some_and(is_recent),
            missed: self.missed,
            points: points.collect(),
        }
    }

    fn now_ms(&self) -> Option<i64> {
        self.intervals.back().map(|(time_ms, _)| *time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{LENGTH_MS, MOST, Moment, Past, Point};
    use backlog_core::event::ListenerId;

    fn moment(time_ms: i64, listeners: u32) -> Moment {
        let points = (0..listeners).map(|id| Point {
            listener: ListenerId(id),
            depth: 1,
            peak: 2,
            limit: 16,
            drops: 0,
        });
        Moment { time_ms, points: points.collect(), missed: 0, frame: None }
    }

    #[test]
    fn it_is_bounded_in_time() {
        let mut past = Past::default();
        for second in 0..2000 {
            past.push(moment(second * 1000, u32::from(second % 2 == 0)));
        }
        let history = past.of(ListenerId(0));
        assert_eq!(history.from_ms, Some(1_999_000 - LENGTH_MS));
        assert_eq!(history.points.len(), 450);
        assert!(!history.cut);
        assert!(past.of(ListenerId(1)).points.is_empty());
    }

    #[test]
    fn it_is_bounded_in_memory_and_says_so() {
        let mut past = Past::default();
        for second in 0..100 {
            past.push(moment(second * 1000, 10_000));
            assert!(past.points <= MOST);
        }
        let history = past.of(ListenerId(9999));
        assert_eq!((history.points.len(), history.cut), (MOST / 10_000, true));
        // A single interval may exceed the maximum.
        past.push(moment(200_000, u32::try_from(MOST).unwrap() + 1));
        assert!(past.of(ListenerId(0)).points.is_empty());
    }
}
