//! Evicts pages of closed listeners and ended namespaces and keeps their sums, so that the size of
//! the model is bounded.

use serde::{Deserialize, Serialize};

use super::Model;
use super::page::Page;
use super::summary::Summary;
use crate::event::ListenerId;

/// How many closed listeners and quiet namespaces are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Closed listeners that were active: about 33 KB each.
    pub closed: usize,
    /// Network namespaces without a listener that may still exist.
    pub quiet: usize,
    /// Hand evicted pages over, see [`Model::evicted`].
    pub hand_over: bool,
}

impl Retention {
    /// For a run of months whose output keeps its own data: pages are evicted at the end of the
    /// interval after the one in which their listener closed.
    pub const LONG_RUN: Self = Self { closed: 0, quiet: 256, hand_over: true };
}

impl Default for Retention {
    /// For the summary of a run.
    fn default() -> Self {
        Self { closed: 1024, quiet: 16_384, hand_over: false }
    }
}

/// Listeners whose pages were evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Listeners without any activity.
    pub idle: u64,
    /// Listeners with activity, evicted because there were too many.
    pub active: u64,
}

impl Model {
    /// Sets what is kept, from the end of the next interval on.
    pub fn retain(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// Evicts pages of listeners that closed before this time: idle ones at once, the others when
    /// there are too many. A host may open and close listeners by the thousand.
    pub(super) fn evict(&mut self, before_ns: u64) {
        self.evicted.clear();
        let over = |page: &Page| page.closed.is_some_and(|(closed_ns, _)| closed_ns < before_ns);
        let closed = self.pages.values().filter(|page| over(page));
        let (active, idle): (Vec<_>, Vec<_>) = closed
            .map(|page| (page.listener.id, Summary::of(page).active()))
            .partition(|(_, active)| *active);
        self.gone.idle += idle.len() as u64;
        let surplus = active.len().saturating_sub(self.retention.closed);
        self.gone.active += surplus as u64;
        for (id, active) in idle.into_iter().chain(active.into_iter().take(surplus)) {
            self.evict_page(id, active);
        }
        self.namespaces.evict(self.retention.quiet);
    }

    fn evict_page(&mut self, id: ListenerId, active: bool) {
        let Some(page) = self.pages.remove(&id) else { return };
        self.history.forget(&page.listener);
        self.addresses.forget(&page.listener);
        self.room += usize::from(page.timeline.is_some());
        self.namespaces.evicted(&page, active);
        if self.retention.hand_over {
            self.evicted.push(page);
        }
    }

    /// The pages that were evicted at the end of the last interval, with their last counts.
    pub fn evicted(&self) -> impl Iterator<Item = &Page> {
        self.evicted.iter()
    }

    /// Listeners whose pages were evicted.
    #[must_use]
    pub fn gone(&self) -> Gone {
        self.gone
    }

    /// Refused packets of all listeners, as last counted.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.namespaces.dropped()
    }
}
