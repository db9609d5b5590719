//! Estimates the acceptor's pace under load from the records.

use serde::{Deserialize, Serialize};

use crate::event::SoFar;

/// The pauses of the last accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Pace {
    count: f64,
    sum_ns: f64,
    /// The values of the last record; none: no record yet.
    last: Option<Mark>,
}

/// The kernel's counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mark {
    pub(super) paced: u32,
    pub(super) paced_ns: u64,
    pub(super) stalled_ns: u64,
}

/// The weight of a pause halves after this many more.
const HALF_LIFE: f64 = 64.0;

/// The weight that the previous counts keep in earlier recordings, which count by interval.
const MEMORY: f64 = 0.5;

impl Pace {
    /// Adds the kernel's counts in a record.
    pub(super) fn saw(&mut self, so_far: &SoFar) {
        let last = self.last.unwrap_or_default();
        let mut now =
            Mark { paced: so_far.paced, paced_ns: so_far.paced_ns, stalled_ns: so_far.stalled_ns };
        // Records of two CPUs may arrive in either order, and some do not include stalls.
        now.stalled_ns = now.stalled_ns.max(last.stalled_ns);
        let more = now.paced.wrapping_sub(last.paced);
        if more == 0 || more > u32::MAX / 2 || now.paced_ns < last.paced_ns {
            self.last.get_or_insert(now).stalled_ns = now.stalled_ns;
            return;
        }
        let stays = 0.5_f64.powf(f64::from(more) / HALF_LIFE);
        self.count = self.count * stays + f64::from(more);
        self.sum_ns = self.sum_ns * stays + (now.paced_ns - last.paced_ns) as f64;
        self.last = Some(now);
    }

    /// Adds an interval's counts.
    pub(super) fn counted(&mut self, paced: u64, paced_ns: u64) {
        if self.last.is_none() && paced > 0 {
            self.count = self.count * MEMORY + paced as f64;
            self.sum_ns = self.sum_ns * MEMORY + paced_ns as f64;
        }
    }

    /// The kernel's counts at the last record.
    pub(super) fn mark(&self) -> Mark {
        self.last.unwrap_or_default()
    }

    /// The mean pause, nanoseconds.
    pub(super) fn pause_ns(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum_ns / self.count)
    }

    /// A time in units of pauses; zero if the pace is unknown.
    pub(super) fn pauses(&self, time_ns: f64) -> f64 {
        if self.sum_ns > 0.0 { time_ns * self.count / self.sum_ns } else { 0.0 }
    }
}
