//! The history of a listener's queue, for outputs that draw it: a span for each interval with
//! activity. Kept only if an output needs it, and bounded: in a long run spans are longer, and if
//! too many listeners are busy, the later ones have no history.

use super::distribution::Distribution;
use super::interval::Interval;

/// One interval, or several merged ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its start, monotonic nanoseconds.
    pub begin_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Depth at the end.
    pub depth: u32,
    /// The deepest queue in the span.
    pub peak: u32,
    /// The limit at the end.
    pub limit: u32,
    /// Connections that were added to the queue.
    pub enqueued: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Refused packets.
    pub drops: u64,
    /// Waits of accepted connections: the upper bound of each bucket in microseconds, a power of
    /// two, and the number of waits above half of it and up to it.
    pub waits: Vec<(u64, u64)>,
}

/// The spans of one listener, in order of time. Between two spans nothing happened and nothing was
/// queued.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    spans: Vec<Span>,
    /// The number of intervals per span.
    width: u32,
    /// The number of intervals in the last span.
    filled: u32,
}

/// The most spans of one listener.
pub const MOST_SPANS: usize = 600;

/// The most spans of all listeners together: about 50 MB.
pub const MOST_OF_ALL: usize = 300_000;

impl Timeline {
    /// The spans.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The spans merged into at most this many columns between two times: spans that begin in the
    /// same column are merged.
    #[must_use]
    pub fn columns(&self, most: u64, begin_ns: u64, end_ns: u64) -> Vec<Span> {
        let length = u128::from(end_ns.saturating_sub(begin_ns).max(1));
        let column = |span: &Span| {
            let since = u128::from(span.begin_ns.saturating_sub(begin_ns));
            (since * u128::from(most) / length).min(u128::from(most.max(1) - 1))
        };
        let mut columns: Vec<Span> = Vec::new();
        let mut last_at = None;
        for span in &self.spans {
            let at = Some(column(span));
            match columns.last_mut().filter(|_| at == last_at) {
                Some(last) => last.join(span),
                None => columns.push(span.clone()),
            }
            last_at = at;
        }
        columns
    }

    /// Records the end of an interval, with its waits.
    pub fn push(&mut self, time_ns: u64, row: &Interval, waits: &Distribution) {
        if !row.active() {
            // Later activity does not belong to the previous span.
            self.filled = self.width;
            return;
        }
        let span = Span {
            begin_ns: time_ns.saturating_sub(row.elapsed_ns),
            end_ns: time_ns,
            depth: row.depth,
            peak: row.peak,
            limit: row.limit,
            enqueued: row.enqueued,
            accepted: row.accepted,
            drops: row.dropped(),
            waits: waits.buckets().iter().map(|one| (one.high, one.count)).collect(),
        };
        self.width = self.width.max(1);
        match self.spans.last_mut() {
            Some(last) if self.filled < self.width => {
                last.join(&span);
                self.filled += 1;
            }
            _ => {
                self.spans.push(span);
                self.filled = 1;
            }
        }
        if self.spans.len() > MOST_SPANS {
            self.halve();
        }
    }

    /// Merges neighbouring spans in pairs; later spans have twice as many intervals. Activity long
    /// after a span is not merged into it.
    fn halve(&mut self) {
        let mut joined: Vec<Span> = Vec::with_capacity(MOST_SPANS);
        let mut halves = false;
        for span in self.spans.drain(..) {
            match joined.last_mut() {
                Some(last)
                    if halves && last.end_ns.saturating_add(span.length()) >= span.begin_ns =>
                {
                    last.join(&span);
                    halves = false;
                }
                _ => {
                    joined.push(span);
                    halves = true;
                }
            }
        }
        // All spans were isolated: merge them in pairs anyway.
        if joined.len() > MOST_SPANS {
            let pairs = joined.chunks(2).map(|pair| match pair {
                [one, two] => {
                    let mut both = one.clone();
                    both.join(two);
                    both
                }
                _ => pair.first().cloned().unwrap_or_default(),
            });
            joined = pairs.collect();
        }
        self.spans = joined;
        self.width *= 2;
    }
}

impl Span {
    fn length(&self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }

    fn join(&mut self, next: &Self) {
        let Self { begin_ns: _, end_ns, depth, peak, limit, enqueued, accepted, drops, waits } =
            next;
        self.end_ns = *end_ns;
        self.depth = *depth;
        self.peak = self.peak.max(*peak);
        self.limit = *limit;
        self.enqueued = self.enqueued.saturating_add(*enqueued);
        self.accepted = self.accepted.saturating_add(*accepted);
        self.drops = self.drops.saturating_add(*drops);
        for (high, count) in waits {
            match self.waits.binary_search_by_key(high, |(high, _)| *high) {
                Ok(place) => self.waits[place].1 = self.waits[place].1.saturating_add(*count),
                Err(place) => self.waits.insert(place, (*high, *count)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_SPANS, Timeline};
    use crate::event::ListenerId;
    use crate::model::distribution::Distribution;
    use crate::model::interval::Interval;

    fn row(enqueued: u64, peak: u32) -> Interval {
        let idle = Interval::made_up(ListenerId(1), peak, 16);
        Interval { elapsed_ns: 10, enqueued, accepted: enqueued, ..idle }
    }

    #[test]
    fn a_long_run_is_bounded_and_loses_no_sum_and_no_peak() {
        let (mut timeline, waits) = (Timeline::default(), Distribution::of_waits());
        let intervals = 10_000;
        for index in 1..=intervals {
            timeline.push(index * 10, &row(1, if index == 777 { 17 } else { 3 }), &waits);
        }
        let spans = timeline.spans();
        assert!(spans.len() <= MOST_SPANS && spans.len() > MOST_SPANS / 3, "{}", spans.len());
        assert_eq!(spans.iter().map(|span| span.enqueued).sum::<u64>(), intervals);
        assert_eq!(spans.iter().map(|span| span.peak).max(), Some(17));
        assert_eq!((spans[0].begin_ns, spans[spans.len() - 1].end_ns), (0, intervals * 10));
        assert!(spans.windows(2).all(|pair| pair[0].end_ns == pair[1].begin_ns));
    }

    #[test]
    fn nothing_is_drawn_where_nothing_happened() {
        let (mut timeline, waits) = (Timeline::default(), Distribution::of_waits());
        for (index, enqueued) in [(1, 1), (2, 0), (3, 0), (4, 1)] {
            timeline.push(index * 10, &row(enqueued, u32::from(enqueued > 0)), &waits);
        }
        let times: Vec<_> = timeline.spans().iter().map(|one| (one.begin_ns, one.end_ns)).collect();
        assert_eq!(times, [(0, 10), (30, 40)]);
    }

    #[test]
    fn columns_lose_nothing() {
        let (mut timeline, waits) = (Timeline::default(), Distribution::of_waits());
        for index in 1..=500 {
            timeline.push(index * 10, &row(1, if index == 77 { 17 } else { 3 }), &waits);
        }
        let columns = timeline.columns(50, 0, 5000);
        assert_eq!(columns.len(), 50);
        assert_eq!(columns.iter().map(|span| span.enqueued).sum::<u64>(), 500);
        assert_eq!(columns[7].peak, 17);
        assert_eq!(timeline.columns(10_000, 0, 5000), timeline.spans());
        assert_eq!(timeline.columns(1, 0, 0).len(), 1);
    }

    #[test]
    fn lonely_spans_are_bounded_as_well() {
        let (mut timeline, waits) = (Timeline::default(), Distribution::of_waits());
        for index in 1..=5_000_u64 {
            timeline.push(index * 1000, &row(index % 2, u32::from(index % 2 == 1)), &waits);
        }
        assert!(timeline.spans().len() <= MOST_SPANS);
        assert_eq!(timeline.spans().iter().map(|span| span.enqueued).sum::<u64>(), 2500);
    }
}
