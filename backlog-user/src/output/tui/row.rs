//! A row in the list of listeners, and the orders of rows.

use std::cmp::Ordering;

use backlog_core::event::ListenerId;
use backlog_core::model::interval::{Interval, Waits};
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;
use backlog_core::text::format::percent;
use backlog_core::text::owner_text;

/// One listener in its last interval.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: ListenerId,
    pub(crate) address: String,
    /// Its main process, or what else is known about its owner.
    pub(crate) owner: String,
    /// The text that the filter searches, in lower case.
    pub(crate) words: String,
    pub(crate) depth: u32,
    pub(crate) peak: u32,
    pub(crate) limit: u32,
    /// The peak in percent of the limit.
    pub(crate) percent: u64,
    /// Connections enqueued and accepted per second.
    pub(crate) arrivals: f64,
    pub(crate) accepts: f64,
    pub(crate) wait: Option<Waits>,
    /// Packets refused in the interval, and in total.
    pub(crate) dropped: u64,
    pub(crate) drops: u64,
}

impl Row {
    /// The row of a listener without an interval yet.
    pub(crate) fn of(page: &Page) -> Self {
        let listener = &page.listener;
        let owner = owner_text::process(listener).unwrap_or_default();
        let address = page.name();
        let mut words = vec![address.clone(), owner.clone()];
        words.extend(listener.identity.owner.iter().flat_map(|owner| owner_text::home(owner)));
        words.extend(listener.identity.cgroup.as_deref().map(owner_text::safe));
        words.extend(listener.identity.netns.as_deref().map(owner_text::safe));
        Self {
            id: listener.id,
            address,
            owner,
            words: words.join(" ").to_lowercase(),
            depth: page.depth(),
            peak: page.depth(),
            limit: listener.limit,
            percent: percent(page.depth(), listener.limit),
            arrivals: 0.0,
            accepts: 0.0,
            wait: None,
            dropped: 0,
            drops: Summary::of(page).drops,
        }
    }

    /// The row at the end of an interval.
    pub(crate) fn after(page: &Page, interval: &Interval) -> Self {
        Self {
            depth: interval.depth,
            peak: interval.peak,
            limit: interval.limit,
            percent: percent(interval.peak, interval.limit),
            arrivals: interval.rate(interval.enqueued),
            accepts: interval.rate(interval.accepted),
            wait: interval.wait,
            dropped: interval.dropped(),
            ..Self::of(page)
        }
    }
}

/// The sort order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum By {
    #[default]
    Use,
    Depth,
    Arrivals,
    Wait,
    Drops,
    Address,
}

impl By {
    /// The orders, in the sequence that the key selects.
    const ALL: [Self; 6] =
        [Self::Use, Self::Depth, Self::Arrivals, Self::Wait, Self::Drops, Self::Address];

    /// The heading of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Use => "USE%",
            Self::Depth => "DEPTH",
            Self::Arrivals => "CONN/s",
            Self::Wait => "P99",
            Self::Drops => "DROPS",
            Self::Address => "LISTENER",
        }
    }

    /// The order this many steps further.
    pub(crate) fn further(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Self::ALL[(at + steps) % Self::ALL.len()]
    }

    /// The previous order.
    pub(crate) fn back(self) -> Self {
        self.further(Self::ALL.len() - 1)
    }

    /// Compares two rows: larger values come first, but addresses are sorted from A to Z. Equal
    /// rows are sorted by use, then by address.
    pub(crate) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let p99 = |row: &Row| row.wait.map_or(0, |waits| waits.p99);
        let first = match self {
            Self::Use => Ordering::Equal,
            Self::Depth => other.depth.cmp(&one.depth),
            Self::Arrivals => other.arrivals.total_cmp(&one.arrivals),
            Self::Wait => p99(other).cmp(&p99(one)),
            Self::Drops => other.drops.cmp(&one.drops),
            Self::Address => one.address.cmp(&other.address),
        };
        first
            .then_with(|| other.percent.cmp(&one.percent))
            .then_with(|| other.drops.cmp(&one.drops))
            .then_with(|| other.arrivals.total_cmp(&one.arrivals))
            .then_with(|| one.address.cmp(&other.address))
            .then_with(|| one.id.cmp(&other.id))
    }
}
