//! A time in which the queue without a limit would have been deeper than the real one, and
//! what the intervals that it touches say of it.

use serde::{Deserialize, Serialize};

/// A time in which the queue would have been deeper than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    /// When the first client was refused, and when the queue would have been deepest.
    pub(crate) begin_ns: u64,
    pub(super) peak_ns: u64,
    /// How deep it would have become.
    pub(crate) peak: f64,
    /// Accepted connections of the intervals that it touches, and for how long anything was
    /// queued in them.
    accepted: u64,
    busy_ns: u64,
    /// Of these: those with work before them, the pauses before them, and the longest wait.
    paced: u64,
    paced_ns: u64,
    longest_ns: u64,
    /// Connections that were queued in them and had not been refused before.
    arrived: f64,
    /// Clients that were refused in it for the first time.
    pub(super) refused: f64,
    /// When the last of these intervals ended.
    end_ns: u64,
    /// When the first of these intervals began.
    counted_since_ns: u64,
}

impl Stretch {
    /// It begins.
    pub(super) fn from(begin_ns: u64) -> Self {
        Self { begin_ns, ..Self::default() }
    }

    /// Accepts per second while any were queued; none: nothing was accepted.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.accepted > 0 && self.busy_ns > 0)
            .then(|| self.accepted as f64 * 1e9 / self.busy_ns as f64)
    }

    /// How long the last one in that queue would have waited, nanoseconds; none: for ever, as
    /// far as is known.
    pub(crate) fn wait_ns(&self) -> Option<f64> {
        // A stall is in the waits that there were, not in the pace.
        let pause_ns = if self.paced > 0 {
            self.paced_ns as f64 / self.paced as f64
        } else {
            1e9 / self.rate()?
        };
        Some((self.peak * pause_ns).max(self.longest_ns as f64))
    }

    /// New clients per second, refused or not.
    pub(crate) fn needed_rate(&self) -> f64 {
        let elapsed_ns = self.end_ns.saturating_sub(self.counted_since_ns).max(1);
        (self.arrived + self.refused) * 1e9 / elapsed_ns as f64
    }

    /// It touches an interval.
    pub(super) fn touches(&mut self, interval: &Interval) {
        let Interval { begin_ns, end_ns, busy_ns, accepted, paced, paced_ns, longest_ns, fresh } =
            *interval;
        if self.end_ns == 0 {
            self.counted_since_ns = begin_ns;
        }
        self.accepted += accepted;
        self.busy_ns += busy_ns;
        self.paced += paced;
        self.paced_ns += paced_ns;
        self.longest_ns = self.longest_ns.max(longest_ns);
        self.arrived += fresh;
        self.end_ns = end_ns;
    }

    /// How long it grew.
    pub(crate) fn growth_ns(&self) -> u64 {
        self.peak_ns.saturating_sub(self.begin_ns)
    }
}

/// The interval whose steps are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    pub(super) busy_ns: u64,
    pub(super) accepted: u64,
    pub(super) paced: u64,
    pub(super) paced_ns: u64,
    pub(super) longest_ns: u64,
    /// Connections that were queued at their first try.
    pub(super) fresh: f64,
}
