//! The line of a listener's interval.

use backlog_core::clock::Clock;
use backlog_core::model::interval::{Interval, Waits};
use backlog_core::model::reconcile::CounterCheck;
use backlog_ebpf::cause::{Beside, Cause};
use serde::Serialize;

use super::namespace::{Comparison, comparisons};
use super::values::{At, ByCounter, EveryCount, Id, NonZeroCounts};

/// `interval`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct IntervalLine {
    #[serde(flatten)]
    at: At,
    /// The `id` of the listener.
    listener: Id,
    /// Connections added to the accept queue in the interval.
    enqueued: u64,
    /// Connections accepted in the interval.
    accepted: u64,
    /// Connections in the accept queue at the end.
    depth: u32,
    /// The deepest accept queue in the interval.
    peak: u32,
    /// The limit at the end.
    limit: u32,
    /// Refused packets in the interval.
    drops: u64,
    /// Refused packets by cause: those causes that occurred.
    drops_by_cause: NonZeroCounts<Cause>,
    /// Side events in the interval, which are not drops of the queue.
    beside: EveryCount<Beside>,
    /// `sk_drops` of the listener since the start.
    reconciled: ByCounter<Comparison>,
    /// The waits of the accepted connections. Null: none was accepted, or no wait is known.
    wait_us: Option<WaitPercentiles>,
}

/// Waits from the enqueue to `accept()`, microseconds. A percentile above 64 is at most 3.2 % too
/// high.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WaitPercentiles {
    /// Half of the connections waited no longer.
    p50: u64,
    /// 90 % waited no longer.
    p90: u64,
    /// 99 % waited no longer.
    p99: u64,
    /// The longest wait; exact.
    max: u64,
}

impl IntervalLine {
    /// The line of a row, with the check of the listener's `sk_drops`.
    pub(super) fn of(
        clock: &Clock,
        time_ns: u64,
        row: &Interval,
        check: Option<&CounterCheck>,
    ) -> Self {
        Self {
            at: At::of(clock, time_ns),
            listener: row.listener.into(),
            enqueued: row.enqueued,
            accepted: row.accepted,
            depth: row.depth,
            peak: row.peak,
            limit: row.limit,
            drops: row.dropped(),
            drops_by_cause: NonZeroCounts::by_name(&Cause::ALL, &row.drops),
            beside: EveryCount::by_name(&Beside::ALL, &row.beside),
            reconciled: comparisons(check),
            wait_us: row.wait.as_ref().map(WaitPercentiles::from),
        }
    }
}

impl From<&Waits> for WaitPercentiles {
    fn from(waits: &Waits) -> Self {
        let Waits { p50, p90, p99, max } = *waits;
        Self { p50, p90, p99, max }
    }
}
