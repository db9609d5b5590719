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
}

/// Fewer accepts do not give a rate.
const FEW: u32 = 8;

/// A surge is over if it would have grown by this many clients since.
const CLIENTS_MISSED: f64 = 8.0;

impl Stretch {
    /// Starts a surge, at this depth of the queue.
    pub(super) fn begin(begin_ns: u64, depth: f64, first: Mark) -> Self {
        Self { begin_ns, peak_ns: begin_ns, begin: depth, peak: depth, first, last: first }
    }

    /// Records a new maximum of the depth.
    pub(super) fn grow(&mut self, time_ns: u64, depth: f64, mark: Mark) {
        (self.peak_ns, self.peak, self.last) = (time_ns, depth, mark);
    }

    /// Accepts per second while it grew, stalls included; none: too few.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let accepted = self.last.paced.wrapping_sub(self.first.paced);
        let paced_ns = self.last.paced_ns.saturating_sub(self.first.paced_ns);
        let stalled_ns = self.last.stalled_ns.saturating_sub(self.first.stalled_ns);
        let busy_ns = paced_ns.saturating_add(stalled_ns);
        (accepted >= FEW && busy_ns > 0).then(|| f64::from(accepted) * 1e9 / busy_ns as f64)
    }

    /// By how many more clients per second arrived than were accepted.
    #[must_use]
    pub fn growth(&self) -> f64 {
        (self.peak - self.begin) * 1e9 / self.growth_ns().max(1) as f64
    }

    /// Whether it still grew at this time: the time since the last refused client is no longer than
    /// it would take a few clients to arrive.
    pub(super) fn grows_until(&self, end_ns: u64) -> bool {
        let since_ns = end_ns.saturating_sub(self.peak_ns) as f64;
        self.peak > self.begin && since_ns * self.growth() < CLIENTS_MISSED * 1e9
    }

    /// How long it grew, nanoseconds.
    #[must_use]
    pub fn growth_ns(&self) -> u64 {
        self.peak_ns.saturating_sub(self.begin_ns)
    }
}
