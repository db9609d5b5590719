//! The activity of one listener in one interval.

use backlog_ebpf::cause::{Beside, Cause};

use super::distribution::Distribution;
use crate::event::ListenerId;
use crate::model::saturating::saturating;

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The listener of the row.
    pub listener: ListenerId,
    /// The length of the interval.
    pub elapsed_ns: u64,
    /// Connections added to the queue.
    pub enqueued: u64,
    /// Connections taken from it.
    pub accepted: u64,
    /// Depth at the end.
    pub depth: u32,
    /// The deepest queue in the interval.
    pub peak: u32,
    /// When it was deepest; none: unknown.
    pub peak_ns: Option<u64>,
    /// The limit at that time; if the time is unknown, the smallest limit of the interval.
    pub peak_limit: u32,
    /// The limit at the end.
    pub limit: u32,
    /// Refused packets by cause.
    pub drops: [u64; Cause::COUNT],
    /// Drops that were not reported individually, because they continue a run.
    pub more: Vec<More>,
    /// Side events.
    pub beside: [u64; Beside::COUNT],
    /// The waits of accepted connections; none if nothing was accepted.
    pub wait: Option<Waits>,
}

impl Interval {
    /// A row with this peak and limit, and no other activity, for tests.
    #[cfg(test)]
    pub(super) fn made_up(listener: ListenerId, peak: u32, limit: u32) -> Self {
        Self {
            listener,
            elapsed_ns: 0,
            enqueued: 0,
            accepted: 0,
            depth: 0,
            peak,
            peak_ns: None,
            peak_limit: limit,
            limit,
            drops: [0; Cause::COUNT],
            more: Vec::new(),
            beside: [0; Beside::COUNT],
            wait: None,
        }
    }

    /// Refused packets.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        saturating(self.drops)
    }

    /// Whether anything happened.
    #[must_use]
    pub fn moved(&self) -> bool {
        let beside = saturating(self.beside);
        saturating([self.enqueued, self.accepted, self.dropped(), beside]) > 0
    }

    /// Whether anything happened or is queued.
    #[must_use]
    pub fn active(&self) -> bool {
        self.moved() || self.depth > 0 || self.peak > 0
    }

    /// A count as a rate per second.
    #[must_use]
    pub fn rate(&self, count: u64) -> f64 {
        if self.elapsed_ns == 0 { 0.0 } else { count as f64 * 1e9 / self.elapsed_ns as f64 }
    }
}

/// The drops of one cause that follow the first one of their run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// The cause.
    pub cause: Cause,
    /// The number of packets.
    pub packets: u64,
    /// Attempts among them that were refused for the first time, without those that were only
    /// counted.
    pub clients: u64,
}

/// Waits in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Waits {
    /// The percentiles of a distribution, if it has values.
    #[must_use]
    pub fn of(distribution: &Distribution) -> Option<Self> {
        let [p50, p90, p99, max] = distribution.quantiles([0.5, 0.9, 0.99, 1.0])?;
        Some(Self { p50, p90, p99, max })
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;
    use crate::event::ListenerId;
    use backlog_ebpf::cause::Cause;

    /// A recording may contain any number.
    #[test]
    fn sums_of_the_largest_counts_do_not_wrap_around() {
        let mut interval = Interval::made_up(ListenerId(1), 0, 16);
        assert!(!interval.moved());
        interval.drops = [u64::MAX; Cause::COUNT];
        interval.enqueued = 1;
        assert_eq!(interval.dropped(), u64::MAX);
        assert!(interval.moved());
    }
}
