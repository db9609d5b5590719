//! A surge: a period in which the queue without a limit would have been deeper than the real one.

use serde::{Deserialize, Serialize};

use super::pace::Mark;

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)] // Earlier recordings know less.
pub struct Stretch {
    /// When the first client was refused, and when the queue would have been deepest.
    pub begin_ns: u64,
    peak_ns: u64,
    /// The depth of the simulated queue when that client arrived.
    begin: f64,
    /// The depth that it would have reached.
    pub peak: f64,
    /// The kernel's counts at these two times.
    first: Mark,
    last: Mark,
    /// The growth of the real queue that ended with the first refusal, if it is taken into account.
    #[serde(skip)]
    before: Option<Filling>,
}

/// The growth of the real queue from empty to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// When an arrival found it empty.
    pub since_ns: u64,
    /// When it was deepest.
    pub until_ns: u64,
    /// Its depth then.
    pub depth: u64,
    /// The connections that were accepted in that time.
    pub accepted: u64,
}

/// Fewer accepts do not give a rate.
const FEW: u64 = 8;

/// A surge is over if it would have grown by this many clients since.
const CLIENTS_MISSED: f64 = 8.0;

impl Stretch {
    /// Starts a surge, at this depth of the queue.
    pub(super) fn begin(begin_ns: u64, depth: f64, first: Mark) -> Self {
        Self {
            begin_ns,
            peak_ns: begin_ns,
            begin: depth,
            peak: depth,
            first,
            last: first,
            before: None,
        }
    }

    /// Records a new maximum of the depth.
    pub(super) fn grow(&mut self, time_ns: u64, depth: f64, mark: Mark) {
        (self.peak_ns, self.peak, self.last) = (time_ns, depth, mark);
    }

    /// The surge together with the time in which the real queue filled up: the growth until the
    /// first refusal depends on the limit, and the growth in all does not. None if the queue may have
    /// been empty in between, with this pause of the acceptor between two accepts.
    #[must_use]
    pub fn since_empty(&self, filling: Filling, pause_ns: f64) -> Option<Self> {
        let gap_ns = self.begin_ns.saturating_sub(filling.until_ns) as f64;
        let follows = self.begin_ns > filling.since_ns && gap_ns <= filling.depth as f64 * pause_ns;
        follows.then_some(Self { before: Some(filling), ..*self })
    }

    /// Accepts per second while it grew, stalls included; none: too few.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let accepted = u64::from(self.last.paced.wrapping_sub(self.first.paced));
        let paced_ns = self.last.paced_ns.saturating_sub(self.first.paced_ns);
        let stalled_ns = self.last.stalled_ns.saturating_sub(self.first.stalled_ns);
        let grew_ns = self.peak_ns.saturating_sub(self.begin_ns);
        // An acceptor that takes all at once and then does something else has hardly any pauses
        // between connections: they say nothing about the time in between.
        let covered_ns = paced_ns.saturating_add(stalled_ns);
        let busy_ns = if covered_ns.saturating_mul(2) < grew_ns { grew_ns } else { covered_ns };
        let before = self.before.map_or((0, 0), |one| (one.accepted, one.until_ns - one.since_ns));
        let (accepted, busy_ns) = (accepted + before.0, busy_ns.saturating_add(before.1));
        (accepted >= FEW && busy_ns > 0).then(|| accepted as f64 * 1e9 / busy_ns as f64)
    }

    /// By how many more clients per second arrived than were accepted.
    #[must_use]
    pub fn growth(&self) -> f64 {
        let begin = if self.before.is_some() { 0.0 } else { self.begin };
        (self.peak - begin) * 1e9 / self.growth_ns().max(1) as f64
    }

    /// When it began to grow.
    #[must_use]
    pub fn since_ns(&self) -> u64 {
        self.before.map_or(self.begin_ns, |filling| filling.since_ns)
    }

    /// Whether it still grew at this time: since its peak, too little time has passed for a few more
    /// clients to arrive.
    pub(super) fn grows_until(&self, end_ns: u64) -> bool {
        let since_ns = end_ns.saturating_sub(self.peak_ns) as f64;
        self.peak > self.begin && since_ns * self.growth() < CLIENTS_MISSED * 1e9
    }

    /// How long it grew, nanoseconds.
    #[must_use]
    pub fn growth_ns(&self) -> u64 {
        self.peak_ns.saturating_sub(self.since_ns())
    }
}
