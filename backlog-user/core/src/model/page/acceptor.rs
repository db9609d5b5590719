//! The pace of a listener's acceptor, and the connections that it leaves in the queue.

use serde::{Deserialize, Serialize};

use super::Page;
use crate::event::{Count, CpuLimit};

/// The oldest connection in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Since when it has been queued.
    pub since_ns: u64,
    /// `since_ns` is a bound: it was queued at that time or before.
    pub at_least: bool,
}

/// The acceptor's pace over the whole run while it had work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paced {
    /// Accepts of connections that were already waiting at the previous accept.
    pub accepts: u64,
    /// The pauses before them, without stalls.
    pub pauses_ns: u64,
    /// The stalls.
    pub stalls_ns: u64,
}

impl Paced {
    /// The mean pause, nanoseconds; none: unknown.
    #[must_use]
    pub fn pause_ns(&self) -> Option<f64> {
        (self.accepts > 0).then(|| self.pauses_ns as f64 / self.accepts as f64)
    }

    /// Accepts per second, stalls included.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let busy_ns = self.pauses_ns.saturating_add(self.stalls_ns);
        (self.accepts > 0 && busy_ns > 0).then(|| self.accepts as f64 * 1e9 / busy_ns as f64)
    }
}

/// The acceptor's figures from the counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fresh {
    /// Since the last interval: the time with an empty queue, and the figures of [`Paced`].
    pub(super) idle_moved_ns: u64,
    pub(super) paced: Paced,
    pub(super) accepted_ns: u64,
    pub(super) filled_ns: u64,
}

impl Fresh {
    pub(super) fn add(&mut self, count: &Count) {
        self.idle_moved_ns = self.idle_moved_ns.saturating_add(count.idle_moved_ns);
        self.paced.accepts = self.paced.accepts.saturating_add(count.paced);
        self.paced.pauses_ns = self.paced.pauses_ns.saturating_add(count.paced_ns);
        self.paced.stalls_ns = self.paced.stalls_ns.saturating_add(count.stalled_ns);
        (self.accepted_ns, self.filled_ns) = (count.accepted_ns, count.filled_ns);
    }

    /// Takes the figures; values that carry over to the next interval stay.
    pub(super) fn take(&mut self) -> Self {
        let Self { accepted_ns, filled_ns, .. } = *self;
        std::mem::replace(self, Self { accepted_ns, filled_ns, ..Self::default() })
    }
}

/// The connections that are queued, and how long the oldest one has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillQueued {
    /// The number of connections.
    pub count: u32,
    /// How long the oldest one has waited; none: unknown.
    pub oldest_ns: Option<u64>,
    /// It may have waited longer.
    pub at_least: bool,
}

impl Page {
    /// The CPU limit that throttled the acceptors; of several inspections, the one with the most
    /// throttled periods.
    #[must_use]
    pub fn cpu_limit(&self) -> Option<&CpuLimit> {
        let began = self.episodes.kept().iter().filter_map(|one| one.acceptor.as_deref());
        let all = began.chain(self.idle.as_deref());
        all.filter_map(|one| one.cpu_limit.as_ref()).max_by_key(|limit| limit.throttled)
    }

    /// Time of the last accept, as of the last count; none if there was no accept since the
    /// listener was first seen.
    #[must_use]
    pub fn last_accepted_ns(&self) -> Option<u64> {
        // Its slot may have belonged to another listener before.
        Some(self.fresh.accepted_ns).filter(|last| *last >= self.first_seen_ns.max(1))
    }

    /// Since when nothing has been accepted although connections are queued; none: nothing is
    /// queued, or unknown.
    #[must_use]
    pub fn still_since(&self) -> Option<u64> {
        if self.depth() == 0 {
            return None;
        }
        if self.totals.accepted > 0 && self.last_accepted_ns().is_none() {
            // An early recording does not have the time.
            return None;
        }
        let accepted_ns = self.last_accepted_ns().unwrap_or(0);
        match self.fresh.filled_ns {
            filled_ns if filled_ns >= self.first_seen_ns.max(1) => Some(accepted_ns.max(filled_ns)),
            _ if self.listener.depth > 0 => Some(accepted_ns.max(self.first_seen_ns)),
            _ => self.stalls.since(self.fresh.accepted_ns),
        }
    }

    /// The connections queued now, and the wait of the oldest: from the kernel's tables at the end,
    /// otherwise a bound.
    #[must_use]
    pub fn still_queued(&self, now_ns: u64) -> Option<StillQueued> {
        let count = self.depth();
        if count == 0 {
            return None;
        }
        let filled_ns = self.fresh.filled_ns;
        let oldest = self.oldest.or_else(|| {
            // The connection that found the queue empty is the oldest until the next accept.
            let exact = filled_ns > self.last_accepted_ns().unwrap_or(0).max(self.first_seen_ns);
            self.still_since().map(|since_ns| Oldest { since_ns, at_least: !exact })
        });
        let oldest_ns = oldest.map(|oldest| now_ns.saturating_sub(oldest.since_ns));
        let at_least = oldest.is_some_and(|oldest| oldest.at_least);
        Some(StillQueued { count, oldest_ns, at_least })
    }
}
