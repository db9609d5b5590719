//! The book: a page per listener, written by events and read by views. Pure: no
//! clock, no file, no kernel; time comes with the event.

pub(crate) mod clients;
pub(crate) mod distribution;
pub(crate) mod interval;
pub(crate) mod page;
pub(crate) mod reconcile;
pub(crate) mod summary;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use backlog_ebpf::cause::Cause;

use crate::count::add;
use crate::event::{Drop, Event, ListenerId, What};
use clients::Clients;
use interval::Interval;
use page::Page;
use summary::Summary;

/// All pages of one run.
#[derive(Debug)]
pub(crate) struct Book {
    pages: BTreeMap<ListenerId, Page>,
    clients: Clients,
    /// Listeners that were closed and whose pages were taken out.
    gone: Gone,
    /// Their drops, by network namespace.
    gone_drops: BTreeMap<u32, [u64; Cause::COUNT]>,
    start_ns: u64,
    tick_ns: u64,
}

/// Listeners whose pages are no longer there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Nothing ever happened there.
    pub(crate) idle: u64,
    /// Something had happened, but there were too many of them.
    pub(crate) active: u64,
}

/// Closed listeners whose pages are kept for the summary.
const CLOSED_KEPT: usize = 1024;

/// What a view wants to show of a drop at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// When.
    pub(crate) time_ns: u64,
    /// What was refused.
    pub(crate) drop: Drop,
    /// For a retry: when this attempt was refused first.
    pub(crate) retry_of_ns: Option<u64>,
}

/// What an event tells that a view shows at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A listener that was not known.
    Found(ListenerId),
    /// A listener was closed with this depth.
    Closed(ListenerId, u32),
    /// A packet was refused.
    Refused(Refusal),
}

impl Book {
    /// An empty book of a run that starts at this time.
    pub(crate) fn new(start_ns: u64) -> Self {
        Self {
            pages: BTreeMap::new(),
            clients: Clients::default(),
            gone: Gone::default(),
            gone_drops: BTreeMap::new(),
            start_ns,
            tick_ns: start_ns,
        }
    }

    /// Writes an event down and says what is news about it.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<News> {
        let Event { time_ns, what } = event;
        match what {
            What::Listener(listener) => match self.pages.entry(listener.id) {
                Entry::Occupied(mut entry) => entry.get_mut().seen_again(listener, *time_ns),
                Entry::Vacant(entry) => {
                    entry.insert(Page::new(listener.clone(), *time_ns));
                    return Some(News::Found(listener.id));
                }
            },
            What::Closed { listener, depth } => {
                self.page(*listener, |page| page.close(*time_ns, *depth));
                return Some(News::Closed(*listener, *depth));
            }
            What::Accepted(connection) => {
                let start_ns = self.start_ns;
                self.page(connection.listener, |page| {
                    page.accepted(connection, *time_ns, start_ns);
                });
            }
            What::Killed(connection) | What::Queued(connection) => {
                self.page(connection.listener, |page| page.arrived(connection));
            }
            What::Drop(drop) => {
                let retry_of_ns = self.clients.refused(drop, *time_ns);
                let first = retry_of_ns.is_none();
                self.page(drop.listener, |page| page.refused(first));
                let refusal = Refusal { time_ns: *time_ns, drop: *drop, retry_of_ns };
                return Some(News::Refused(refusal));
            }
            What::Count { listener, count } => {
                self.page(*listener, |page| page.count(count));
            }
        }
        None
    }

    /// Ends an interval: a row for each listener that was open in it.
    pub(crate) fn tick(&mut self, time_ns: u64) -> Vec<Interval> {
        let elapsed_ns = time_ns.saturating_sub(self.tick_ns);
        self.tick_ns = time_ns;
        let rows = self.pages.values_mut().filter_map(|page| page.tick(time_ns, elapsed_ns));
        let rows = rows.collect();
        self.forget(time_ns.saturating_sub(elapsed_ns));
        rows
    }

    /// A host may open and close listeners by the thousand: pages of those that
    /// were closed before this time go, the idle ones at once, the others when
    /// there are too many.
    fn forget(&mut self, before_ns: u64) {
        let over = |page: &Page| page.closed.is_some_and(|(closed_ns, _)| closed_ns < before_ns);
        let active = |page: &Page| Summary::of(page).active();
        let count = self.pages.len();
        self.pages.retain(|_, page| !over(page) || active(page));
        self.gone.idle += (count - self.pages.len()) as u64;
        let mut closed: Vec<_> =
            self.pages.iter().filter(|(_, page)| over(page)).map(|(id, _)| *id).collect();
        let surplus = closed.len().saturating_sub(CLOSED_KEPT);
        closed.truncate(surplus);
        for id in closed {
            if let Some(page) = self.pages.remove(&id) {
                self.gone.active += 1;
                let sums = self.gone_drops.entry(page.listener.netns).or_default();
                add(sums, &page.totals.drops);
            }
        }
    }

    /// Listeners whose pages are no longer there.
    pub(crate) fn gone(&self) -> Gone {
        self.gone
    }

    /// The end: a summary for each listener.
    pub(crate) fn summaries(&self) -> Vec<Summary<'_>> {
        self.pages.values().map(Summary::of).collect()
    }

    /// The page of a listener.
    pub(crate) fn get(&self, listener: ListenerId) -> Option<&Page> {
        self.pages.get(&listener)
    }

    /// Drops of all listeners of a network namespace, those that are gone included.
    pub(crate) fn drops_of(&self, netns: u32) -> [u64; Cause::COUNT] {
        let mut sums = self.gone_drops.get(&netns).copied().unwrap_or_default();
        for page in self.pages.values().filter(|page| page.listener.netns == netns) {
            add(&mut sums, &page.totals.drops);
        }
        sums
    }

    /// Is any listener known?
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Refused attempts that are no longer remembered.
    pub(crate) fn clients_forgotten(&self) -> u64 {
        self.clients.forgotten()
    }

    fn page(&mut self, listener: ListenerId, write: impl FnOnce(&mut Page)) {
        if let Some(page) = self.pages.get_mut(&listener) {
            write(page);
        }
    }
}

#[cfg(test)]
mod tests;
