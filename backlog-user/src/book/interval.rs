//! What one listener did in one interval.

use backlog_ebpf::cause::{Beside, Cause};

use super::distribution::Distribution;
use crate::event::ListenerId;

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interval {
    /// Whose row it is.
    pub(crate) listener: ListenerId,
    /// How long the interval was.
    pub(crate) elapsed_ns: u64,
    /// Connections added to the queue.
    pub(crate) enqueued: u64,
    /// Connections taken from it.
    pub(crate) accepted: u64,
    /// Depth at the end.
    pub(crate) depth: u32,
    /// Deepest in between.
    pub(crate) peak: u32,
    /// The limit at the end.
    pub(crate) limit: u32,
    /// Refused packets by cause.
    pub(crate) drops: [u64; Cause::COUNT],
    /// Of these: those that were not told at their moment, since they went on with a run.
    pub(crate) more: Vec<More>,
    /// What is counted beside them.
    pub(crate) beside: [u64; Beside::COUNT],
    /// The waits of those accepted; none if there were none.
    pub(crate) wait: Option<Waits>,
}

impl Interval {
    /// Refused packets.
    pub(crate) fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Did anything happen?
    pub(crate) fn moved(&self) -> bool {
        let beside: u64 = self.beside.iter().sum();
        self.enqueued + self.accepted + self.dropped() + beside > 0
    }

    /// Did anything happen, or is anything queued?
    pub(crate) fn active(&self) -> bool {
        self.moved() || self.depth > 0 || self.peak > 0
    }

    /// Per second.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        if self.elapsed_ns == 0 { 0.0 } else { count as f64 * 1e9 / self.elapsed_ns as f64 }
    }
}

/// Drops of one cause behind the first of their run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct More {
    /// Why.
    pub(crate) cause: Cause,
    /// How many packets.
    pub(crate) packets: u64,
    /// Attempts among them that were refused for the first time; those that were only
    /// counted are not among them.
    pub(crate) clients: u64,
}

/// Waits in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Half waited no longer.
    pub(crate) p50: u64,
    /// Nine of ten.
    pub(crate) p90: u64,
    /// 99 of 100.
    pub(crate) p99: u64,
    /// The longest.
    pub(crate) max: u64,
}

impl Waits {
    /// The percentiles of a distribution, if it has values.
    pub(crate) fn of(distribution: &Distribution) -> Option<Self> {
        let [p50, p90, p99, max] = distribution.quantiles([0.5, 0.9, 0.99, 1.0])?;
        Some(Self { p50, p90, p99, max })
    }
}
