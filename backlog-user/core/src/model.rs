//! The model of a run: a page per listener, updated by events and read by outputs. Pure: no clock,
//! no file, no kernel; each event carries its time.

pub mod accept_errors;
mod addresses;
mod advice;
pub mod clients;
pub mod distribution;
pub mod episode;
mod eviction;
pub mod group;
pub mod high_use;
mod history;
pub mod interval;
mod members;
mod namespaces;
mod news;
pub mod page;
pub mod pauses;
pub mod reconcile;
pub mod saturating;
pub mod sizing;
pub mod snapshot;
pub mod stall;
mod streak;
pub mod summary;
pub mod sums;
pub mod timeline;
pub mod unlimited;
pub mod workers;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::event::{Closed, DropEvent, Event, Limit, Listener, ListenerId, Memory, What};
use addresses::{Addresses, Met};
use clients::{Clients, Known, Settled};
pub use eviction::{Gone, Retention};
use history::History;
use interval::Interval;
use members::{Members, Number};
use namespaces::Namespaces;
pub use namespaces::{Namespace, NamespacesEnded};
pub use news::{News, Refusal};
use page::{Oldest, Page};
use summary::Summary;
use sums::Sums;
use timeline::{MOST_OF_ALL, MOST_SPANS};

/// All pages of one run.
#[derive(Debug)]
pub struct Model {
    pages: BTreeMap<ListenerId, Page>,
    clients: Clients,
    history: History,
    members: Members,
    addresses: Addresses,
    namespaces: Namespaces,
    /// The number of closed listeners whose pages were evicted.
    gone: Gone,
    /// The pages that were evicted last.
    evicted: Vec<Page>,
    retention: Retention,
    /// How many more listeners get a history: zero unless an output draws it.
    room: usize,
    memory: Memory,
    client_timeout_ns: u64,
    one_family: bool,
    start_ns: u64,
    /// The ends of the last two intervals, the later one first.
    ticks_ns: [u64; 2],
}

/// The default client timeout.
const CLIENT_TIMEOUT_NS: u64 = 5_000_000_000;

impl Model {
    /// An empty model of a run that starts at this time.
    #[must_use]
    pub fn new(start_ns: u64) -> Self {
        Self {
            pages: BTreeMap::new(),
            clients: Clients::default(),
            history: History::default(),
            members: Members::default(),
            addresses: Addresses::default(),
            namespaces: Namespaces::default(),
            gone: Gone::default(),
            evicted: Vec::new(),
            retention: Retention::default(),
            room: 0,
            memory: Memory::default(),
            client_timeout_ns: CLIENT_TIMEOUT_NS,
            one_family: false,
            start_ns,
            ticks_ns: [start_ns; 2],
        }
    }

    /// Keeps the history of the first active listeners, as many as there is room for.
    pub fn keep_timelines(&mut self) {
        self.room = MOST_OF_ALL / MOST_SPANS;
    }

    /// Applies an event and returns what it changed.
    pub fn apply(&mut self, event: &Event) -> Option<News> {
        let Event { time_ns, what } = event;
        match what {
            What::Listener(listener) => return self.listener(listener, *time_ns),
            What::Closed(closed) => {
                self.closed(*closed, *time_ns);
                return Some(News::Closed(*closed));
            }
            What::Limit(limit) => {
                self.page(limit.listener, |page| page.limited(limit, *time_ns));
                return Some(News::Limit(limit.clone()));
            }
            What::Identity { listener, identity } => {
                self.page(*listener, |page| page.listener.identity = identity.clone());
            }
            What::Drop(drop) => return Some(News::Refused(self.refused(drop, *time_ns))),
            What::Admitted(admitted) => {
                let (admission, settled) = self.clients.admitted(admitted, *time_ns);
                self.page(admitted.listener, |page| page.admitted(admitted, *time_ns, admission));
                self.settled(settled);
            }
            What::Dequeued(dequeued) => {
                let settled = self.clients.dequeued(dequeued, *time_ns);
                self.settled(settled);
            }
            What::Acceptor(acceptor) => {
                self.page(acceptor.listener, |page| page.explain(acceptor, event.time_ns));
                return Some(News::Acceptor(acceptor.clone()));
            }
            What::AcceptErrors(errors) => {
                let mut is_new = false;
                self.page(errors.listener, |page| is_new = page.accept_errors.add(errors));
                return Some(News::AcceptErrors(errors.clone(), is_new));
            }
            What::Memory(memory) => self.memory = *memory,
            What::Count { listener, count } => {
                if let Some(page) = self.pages.get_mut(listener) {
                    let [was, now] = [&page.totals, &count.totals].map(Sums::of_listener);
                    self.namespaces.counted(page.listener.netns, &was, &now);
                    page.count(count, self.start_ns);
                }
            }
            What::DepthSample { listener, depth, limit } => {
                self.page(*listener, |page| page.level(*depth, *limit));
            }
            What::Namespace { netns, settings } => {
                self.namespaces.told(*netns).settings = *settings;
            }
            What::Counters { netns, moved } => {
                let seen = self.namespaces.sums_of(*netns);
                let namespace = self.namespaces.told(*netns);
                (namespace.moved, namespace.seen) = (**moved, seen);
                // At its baseline it has not moved: that is not a comparison.
                namespace.compared = !std::mem::take(&mut namespace.begins);
            }
            What::Baseline { netns } => {
                let before = self.namespaces.sums_of(*netns);
                let namespace = self.namespaces.told(*netns);
                (namespace.before, namespace.begins) = (before, true);
            }
            What::Queued { listener, since_ns, at_least } => {
                let oldest = Oldest { since_ns: *since_ns, at_least: *at_least };
                self.page(*listener, |page| page.oldest = Some(oldest));
            }
            What::Ended { netns } => self.namespaces.end(*netns),
            What::SkDrops { listener, moved } => {
                self.page(*listener, |page| page.sk_drops = Some((*moved, page.totals.sk_drops)));
            }
        }
        None
    }

    /// Adds a listener, or updates one that is already known.
    fn listener(&mut self, listener: &Listener, time_ns: u64) -> Option<News> {
        match self.pages.entry(listener.id) {
            Entry::Occupied(mut entry) => {
                let was = entry.get().listener.limit;
                // Either it was open before, and its first event is another listen call; or a
                // packet found it before the call that opens it had returned.
                let without_record = entry.get().listener.call.is_none();
                let again = listener.call.is_some() && (without_record || !listener.opened_now);
                entry.get_mut().seen_again(listener, time_ns);
                let Listener { id, limit: now, depth, .. } = *listener;
                if was != now || again {
                    let call = listener.call.clone();
                    let opens = listener.opened_now && was == now;
                    let limit = Limit { listener: id, now, was, depth, call, opens };
                    return Some(News::Limit(limit));
                }
            }
            Entry::Vacant(entry) => {
                let mut page = Page::new(listener.clone(), time_ns);
                page.follows = self.history.opened(listener);
                let number = self.members.opened(&page);
                let met = self.addresses.opened(listener);
                page.alike = met != Met::Nobody;
                entry.insert(page);
                self.namespaces.opened(listener.netns);
                if met == Met::First {
                    self.are_alike(listener);
                }
                self.number(listener.id, number);
                return Some(News::Found(listener.id));
            }
        }
        None
    }

    fn closed(&mut self, closed: Closed, time_ns: u64) {
        let Some(page) = self.pages.get_mut(&closed.listener) else { return };
        if page.closed.is_none() {
            self.namespaces.closed(page.listener.netns, time_ns);
        }
        page.close(time_ns, closed);
        self.history.closed(&page.listener);
        self.members.closed(page);
    }

    /// Applies a refused packet.
    fn refused(&mut self, drop: &DropEvent, time_ns: u64) -> Refusal {
        let Known { retry_of_ns, first: new_client, settled } = self.client_of(drop, time_ns);
        let (mut first, mut episode) = (false, false);
        self.page(drop.listener, |page| {
            (first, episode) = page.refused(drop, time_ns, new_client);
        });
        self.settled(settled);
        Refusal { time_ns, drop: *drop, retry_of_ns, first, episode }
    }

    /// What is known about the client of a refused packet.
    fn client_of(&mut self, drop: &DropEvent, time_ns: u64) -> Known {
        let page = self.pages.get(&drop.listener);
        let early = page.is_some_and(|page| page.may_be_a_retry(time_ns));
        self.clients.refused(drop, time_ns, early)
    }

    /// Ends an interval, and returns a row for each listener that was open in it.
    pub fn tick(&mut self, time_ns: u64) -> Vec<Interval> {
        let [last_ns, _] = self.ticks_ns;
        let elapsed_ns = time_ns.saturating_sub(last_ns);
        self.ticks_ns = [time_ns, last_ns];
        let room = &mut self.room;
        let rows = self.pages.values_mut().filter_map(|page| page.tick(time_ns, elapsed_ns, room));
        let rows: Vec<Interval> = rows.collect();
        self.evict(time_ns.saturating_sub(elapsed_ns));
        rows
    }

    /// The summary of each listener.
    pub fn summaries(&self) -> Vec<Summary<'_>> {
        self.pages.values().map(Summary::of).collect()
    }

    /// The page of a listener.
    #[must_use]
    pub fn get(&self, listener: ListenerId) -> Option<&Page> {
        self.pages.get(&listener)
    }

    /// All pages.
    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.values()
    }

    /// The number of known listeners and network namespaces.
    #[must_use]
    pub fn known(&self) -> (usize, usize) {
        (self.pages.len(), self.namespaces.len())
    }

    /// Whether no listener is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether there is room for the history of one more active listener.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room > 0
    }

    /// The pages of open listeners.
    pub fn open(&self) -> impl Iterator<Item = &Page> + Clone {
        self.pages.values().filter(|page| page.closed.is_none())
    }

    /// When the last interval ended.
    #[must_use]
    pub fn ticked_ns(&self) -> u64 {
        self.ticks_ns[0]
    }

    fn settled(&mut self, settled: Option<Settled>) {
        if let Some(Settled { listener, fate }) = settled {
            self.page(listener, |page| page.settled(fate));
        }
    }

    /// Sets the client timeout.
    pub fn set_client_timeout(&mut self, timeout_ns: u64) {
        self.client_timeout_ns = timeout_ns;
    }

    /// Sets whether clients of the other family are filtered out, although they use the same
    /// queues.
    pub fn set_one_family(&mut self, one_family: bool) {
        self.one_family = one_family;
    }

    /// The number of evicted attempts.
    #[must_use]
    pub fn clients_forgotten(&self) -> u64 {
        self.clients.forgotten()
    }

    /// Marks the listeners at this address, which are in different network namespaces.
    fn are_alike(&mut self, listener: &Listener) {
        let there = |page: &&mut Page| page.listener.local == listener.local;
        self.pages.values_mut().filter(there).for_each(|page| page.alike = true);
    }

    fn number(&mut self, listener: ListenerId, number: Option<Number>) {
        let Some(Number { member, first }) = number else { return };
        let grouped = member > 1;
        self.page(listener, |page| (page.member, page.grouped) = (member, grouped));
        if member == 2 {
            self.page(first, |page| page.grouped = true);
        }
    }

    fn page(&mut self, listener: ListenerId, write: impl FnOnce(&mut Page)) {
        if let Some(page) = self.pages.get_mut(&listener) {
            write(page);
        }
    }
}

#[cfg(test)]
mod tests;
