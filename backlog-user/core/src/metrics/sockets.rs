//! The state kept for each socket: its counts at the last interval, and the series that it belongs
//! to.

use super::SIZED_EVERY_NS;
use super::SeriesId;
use super::counts::Counts;
use super::series::Sized;
use crate::model::interval::Interval;
use crate::model::page::Page;

/// The destination of a socket's counts.
#[derive(Debug)]
pub(super) enum Target {
    /// Not decided yet; its counts until now.
    Pending(Box<Counts>),
    /// A series.
    Shown(SeriesId),
    /// The sum of all sockets that have no series.
    Other,
}

impl Default for Target {
    fn default() -> Self {
        Self::Pending(Box::default())
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Socket {
    pub(super) target: Target,
    pub(super) sized: Option<Sized>,
    pub(super) sized_ns: u64,
    counted: Box<Counts>,
    idle_ns: u64,
}

impl Socket {
    /// The counts since the last interval.
    pub(super) fn take(&mut self, page: &Page, row: Option<&Interval>, time_ns: u64) -> Counts {
        let now = Counts::of(page, &self.counted);
        let mut moved = now.since(&self.counted);
        *self.counted = now;
        let idle_ns =
            page.idle_ns.saturating_sub(std::mem::replace(&mut self.idle_ns, page.idle_ns));
        if let Some(row) = row.filter(|row| row.active()) {
            let until_ns = page.closed.map_or(time_ns, |(closed_ns, _)| closed_ns);
            let open_ns = row.elapsed_ns.min(until_ns.saturating_sub(page.first_seen_ns));
            moved.add_busy(open_ns.saturating_sub(idle_ns));
        }
        moved
    }

    /// Whether its verdict must be renewed.
    pub(super) fn is_to_be_sized(&self, row: &Interval, time_ns: u64) -> bool {
        let due = time_ns.saturating_sub(self.sized_ns) >= SIZED_EVERY_NS;
        due || self.sized.is_none() || row.dropped() > 0
    }
}
