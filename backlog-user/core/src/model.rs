//! The model: a page per listener, written by events and read by views. Pure: no
//! clock, no file, no kernel; time comes with the event.

pub mod accept_errors;
mod addresses;
pub mod clients;
pub mod distribution;
pub mod episode;
pub mod group;
mod history;
pub mod interval;
mod members;
mod namespaces;
mod news;
pub mod page;
pub mod past;
pub mod pauses;
pub mod reconcile;
pub mod sizing;
pub mod stall;
mod streak;
pub mod summary;
pub mod timeline;
pub mod unlimited;
pub mod workers;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::event::{DropEvent, Event, Limit, Listener, ListenerId, Memory, Netns, What};
use addresses::{Addresses, Met};
use clients::{Clients, Fate, Known, Outside};
use group::{AtClose, Unbalanced};
use history::History;
use interval::Interval;
use members::{Members, Number};
pub use namespaces::{Namespace, NamespacesEnded};
pub use news::{News, Refusal};
use page::{Oldest, Page};
use reconcile::Sums;
use sizing::{Given, Sizing};
use summary::Summary;
use timeline::{MOST_OF_ALL, MOST_SPANS};

/// All pages of one run.
#[derive(Debug)]
pub struct Model {
    pages: BTreeMap<ListenerId, Page>,
    clients: Clients,
    history: History,
    members: Members,
    addresses: Addresses,
    /// Listeners that were closed and whose pages were taken out.
    gone: Gone,
    /// Their counts, by network namespace.
    gone_sums: BTreeMap<Netns, Sums>,
    namespaces: BTreeMap<Netns, Namespace>,
    /// Those that have ended and whose listeners' pages are gone.
    ended: NamespacesEnded,
    /// The number of further listeners whose history is kept: zero unless an output draws it.
    room: usize,
    memory: Memory,
    client_timeout_ns: u64,
    start_ns: u64,
    /// The ends of the last two intervals, the later first.
    ticks_ns: [u64; 2],
}

/// Listeners whose pages were evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Nothing ever happened there.
    pub idle: u64,
    /// Something had happened, but there were too many of them.
    pub active: u64,
}

/// The default client timeout.
const CLIENT_TIMEOUT_NS: u64 = 5_000_000_000;

/// Closed listeners whose pages are kept for the summary.
const CLOSED_KEPT: usize = 1024;

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
            gone: Gone::default(),
            gone_sums: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            ended: NamespacesEnded::default(),
            room: 0,
            memory: Memory::default(),
            client_timeout_ns: CLIENT_TIMEOUT_NS,
            start_ns,
            ticks_ns: [start_ns; 2],
        }
    }

    /// Keeps the history of the first listeners with activity, as many as there is room for.
    pub fn keep_timelines(&mut self) {
        self.room = MOST_OF_ALL / MOST_SPANS;
    }

    /// Applies an event and returns what it changed.
    pub fn apply(&mut self, event: &Event) -> Option<News> {
        let Event { time_ns, what } = event;
        match what {
            What::Listener(listener) => match self.pages.entry(listener.id) {
                Entry::Occupied(mut entry) => {
                    let was = entry.get().listener.limit;
                    // It was open before, and this is its first event: another listen call. Or
                    // a packet has met it before the call that opens it was through.
                    let untold = entry.get().listener.call.is_none();
                    let again = listener.call.is_some() && (untold || !listener.opened_now);
                    entry.get_mut().seen_again(listener);
                    let Listener { id, limit: now, depth, .. } = *listener;
                    if was != now || again {
                        let call = listener.call.clone();
                        let opens = listener.opened_now && was == now;
                        let limit = Limit { listener: id, now, was, depth, call, opens };
                        return Some(News::Limit(limit));
                    }
                }
                Entry::Vacant(entry) => {
                    let mut page = Page::new(listener.clone(), *time_ns);
                    page.follows = self.history.opened(listener);
                    let number = self.members.opened(&page);
                    let met = self.addresses.opened(listener);
                    page.alike = met != Met::Nobody;
                    entry.insert(page);
                    if met == Met::First {
                        self.are_alike(listener);
                    }
                    self.number(listener.id, number);
                    return Some(News::Found(listener.id));
                }
            },
            What::Closed(closed) => {
                if let Some(page) = self.pages.get_mut(&closed.listener) {
                    page.close(*time_ns, *closed);
                    self.history.closed(&page.listener);
                    self.members.closed(page);
                }
                return Some(News::Closed(*closed));
            }
            What::Limit(limit) => {
                self.page(limit.listener, |page| page.limited(limit));
                return Some(News::Limit(limit.clone()));
            }
            What::Identity { listener, identity } => {
                self.page(*listener, |page| page.listener.identity = identity.clone());
            }
            What::Drop(drop) => return Some(News::Refused(self.refused(drop, *time_ns))),
            What::Admitted(admitted) => {
                let (admission, fate) = self.clients.admitted(admitted, *time_ns);
                self.page(admitted.listener, |page| page.admitted(admitted, admission));
                self.settled(admitted.listener, fate);
            }
            What::Dequeued(dequeued) => {
                let fate = self.clients.dequeued(dequeued, *time_ns);
                self.settled(dequeued.listener, fate);
            }
            What::Acceptor(acceptor) => {
                self.page(acceptor.listener, |page| page.explain(acceptor));
                return Some(News::Acceptor(acceptor.clone()));
            }
            What::AcceptErrors(errors) => {
                let mut is_new = false;
                self.page(errors.listener, |page| is_new = page.accept_errors.add(errors));
                return Some(News::AcceptErrors(errors.clone(), is_new));
            }
            What::Memory(memory) => self.memory = *memory,
            What::Count { listener, count } => {
                let start_ns = self.start_ns;
                self.page(*listener, |page| page.count(count, start_ns));
            }
            What::Level { listener, depth, limit } => {
                self.page(*listener, |page| page.level(*depth, *limit));
            }
            What::Namespace { netns, settings } => {
                self.namespaces.entry(*netns).or_default().settings = *settings;
            }
            What::Counters { netns, moved } => {
                let seen = self.sums_of(*netns);
                let namespace = self.namespaces.entry(*netns).or_default();
                (namespace.moved, namespace.seen) = (**moved, seen);
                // From where it begins it has not moved: that compares nothing.
                namespace.compared = !std::mem::take(&mut namespace.begins);
            }
            What::Baseline { netns } => {
                let before = self.sums_of(*netns);
                let namespace = self.namespaces.entry(*netns).or_default();
                (namespace.before, namespace.begins) = (before, true);
            }
            What::Queued { listener, since_ns, at_least } => {
                let oldest = Oldest { since_ns: *since_ns, at_least: *at_least };
                self.page(*listener, |page| page.oldest = Some(oldest));
            }
            What::Ended { netns } => {
                if self.open().all(|page| page.listener.netns != *netns) {
                    self.namespaces.entry(*netns).or_default().ended = true;
                }
            }
            What::SkDrops { listener, moved } => {
                self.page(*listener, |page| page.sk_drops = Some((*moved, page.totals.sk_drops)));
            }
        }
        None
    }

    /// A packet was refused.
    fn refused(&mut self, drop: &DropEvent, time_ns: u64) -> Refusal {
        let Known { retry_of_ns, fate } = self.clients.refused(drop, time_ns);
        let new_client = retry_of_ns.is_none();
        let (mut first, mut episode) = (false, false);
        self.page(drop.listener, |page| {
            (first, episode) = page.refused(drop, time_ns, new_client);
        });
        self.settled(drop.listener, fate);
        Refusal { time_ns, drop: *drop, retry_of_ns, first, episode }
    }

    /// Ends an interval: a row for each listener that was open in it.
    pub fn tick(&mut self, time_ns: u64) -> Vec<Interval> {
        let [last_ns, _] = self.ticks_ns;
        let elapsed_ns = time_ns.saturating_sub(last_ns);
        self.ticks_ns = [time_ns, last_ns];
        let room = &mut self.room;
        let rows = self.pages.values_mut().filter_map(|page| page.tick(time_ns, elapsed_ns, room));
        let rows: Vec<Interval> = rows.collect();
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
        let Self { history, addresses, .. } = self;
        self.pages.retain(|_, page| {
            let stays = !over(page) || active(page);
            if !stays {
                history.forget(&page.listener);
                addresses.forget(&page.listener);
            }
            stays
        });
        self.gone.idle += (count - self.pages.len()) as u64;
        let mut closed: Vec<_> =
            self.pages.iter().filter(|(_, page)| over(page)).map(|(id, _)| *id).collect();
        let surplus = closed.len().saturating_sub(CLOSED_KEPT);
        closed.truncate(surplus);
        for id in closed {
            if let Some(page) = self.pages.remove(&id) {
                self.history.forget(&page.listener);
                self.addresses.forget(&page.listener);
                self.room += usize::from(page.timeline.is_some());
                self.gone.active += 1;
                self.gone_sums.entry(page.listener.netns).or_default().add(&page.totals);
            }
        }
        self.forget_namespaces();
    }

    /// Listeners whose pages were evicted.
    #[must_use]
    pub fn gone(&self) -> Gone {
        self.gone
    }

    /// The end: a summary for each listener.
    pub fn summaries(&self) -> Vec<Summary<'_>> {
        self.pages.values().map(Summary::of).collect()
    }

    /// The page of a listener.
    #[must_use]
    pub fn get(&self, listener: ListenerId) -> Option<&Page> {
        self.pages.get(&listener)
    }

    /// Every page.
    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.values()
    }

    /// Refused packets as last counted, of all listeners.
    pub fn dropped(&self) -> u64 {
        let gone: u64 = self.gone_sums.values().map(Sums::dropped).sum();
        let here = |page: &Page| page.totals.drops.iter().sum::<u64>();
        self.ended.dropped + gone + self.pages.values().map(here).sum::<u64>()
    }

    /// Is any listener known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Is there room for the history of one more active listener?
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room > 0
    }

    /// The pages of listeners that are open.
    pub fn open(&self) -> impl Iterator<Item = &Page> + Clone {
        self.pages.values().filter(|page| page.closed.is_none())
    }

    /// The verdict on a listener at this time.
    #[must_use]
    pub fn sizing(&self, page: &Page, time_ns: u64) -> Sizing {
        let listener = &page.listener;
        let entry_bytes =
            if listener.local.is_ipv4() { self.memory.ipv4 } else { self.memory.ipv6 };
        let end_ns = page.closed.map_or(time_ns, |(closed_ns, _)| closed_ns);
        let given = Given {
            client_timeout_ns: self.client_timeout_ns,
            somaxconn: self.settings_of(listener.netns).and_then(|set| set.somaxconn),
            entry_bytes,
            elapsed_ns: end_ns.saturating_sub(page.first_seen_ns),
            unbalanced: self.unbalanced(page, time_ns),
            end_ns,
            cookies_always: self
                .settings_of(listener.netns)
                .is_some_and(|set| set.syncookies == Some(2)),
        };
        sizing::of(page, &given)
    }

    /// The contents of a closed member's queues.
    #[must_use]
    pub fn at_close(&self, page: &Page) -> Option<AtClose> {
        let migrate_req = self.settings_of(page.listener.netns).and_then(|set| set.migrate_req);
        group::at_close(page, self.pages.values(), migrate_req)
    }

    /// Does this listener wait or drop while other members of its group have room?
    #[must_use]
    pub fn unbalanced(&self, page: &Page, time_ns: u64) -> Option<Unbalanced> {
        group::unbalanced(page, self.pages.values(), time_ns)
    }

    /// When the last interval ended.
    #[must_use]
    pub fn ticked_ns(&self) -> u64 {
        self.ticks_ns[0]
    }

    /// What is to be thought of the clients of a listener that the server has not accepted. With
    /// `admitted` they are all of `clients`.
    #[must_use]
    pub fn outside(&self, page: &Page, time_ns: u64) -> Outside {
        if page.clients == 0 {
            return Outside::default();
        }
        let known = self.clients.outside(page.listener.id, page.depth(), time_ns);
        let gave_up = known.gave_up + page.ended.gave_up;
        let believing = known.believing + page.ended.believing;
        let (reset, trying) = (page.ended.reset, known.trying);
        let unknown = page.clients.saturating_sub(page.admitted + gave_up + reset + trying);
        Outside { gave_up, believing, reset, trying, unknown }
    }

    fn settled(&mut self, listener: ListenerId, fate: Option<Fate>) {
        if let Some(fate) = fate {
            self.page(listener, |page| page.settled(fate));
        }
    }

    /// The client timeout.
    pub fn set_client_timeout(&mut self, timeout_ns: u64) {
        self.client_timeout_ns = timeout_ns;
    }

    /// Refused attempts that were evicted.
    #[must_use]
    pub fn clients_forgotten(&self) -> u64 {
        self.clients.forgotten()
    }

    /// Listeners at this address are in different network namespaces.
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
