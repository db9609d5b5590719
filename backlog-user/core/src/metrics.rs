//! The metrics of `/metrics` for a run that goes on for months: a bounded number of series, each
//! with an identity that survives a restart of the server (docs/METRICS.md). Pure: reads the model
//! at the end of each interval, and creates immutable [`Snapshot`]s.
//!
//! A counter belongs to an identity, not to a socket. What a socket counts in an interval is added
//! to the series that it belongs to at that time, and never moves to another one.

mod counts;
mod family;
mod host;
mod identity;
pub mod otlp;
mod samples;
mod series;
mod snapshot;
mod sockets;
#[cfg(test)]
mod tests;
mod text;
mod window;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::event::ListenerId;
use crate::model::Model;
use crate::model::interval::Interval;
use crate::model::page::Page;
use crate::model::reconcile::Account;
use crate::run::Health;
pub use counts::BOUNDS as WAIT_BOUNDS;
use counts::Counts;
pub use family::{FAMILIES, Family, Kind as FamilyKind};
use host::Host;
use identity::Identity;
use series::{Kind, Series, Sized};
pub use snapshot::{Facts, Now, Own, Pushed, Snapshot};
use sockets::{Socket, Target};
pub use text::{Format, encode};

/// The bounds of the series. They may change during the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most listeners with their own series; the others are summed up as `other`.
    pub max_listeners: usize,
    /// How long a series stays after its last socket has closed.
    pub keep_closed_ns: u64,
    /// How long a listener must have been open before it gets series of its own.
    pub min_age_ns: u64,
    /// The length of the window for peaks.
    pub peak_window_ns: u64,
}

/// A verdict is renewed this often, and immediately when packets are refused.
const SIZED_EVERY_NS: u64 = 10_000_000_000;

/// A listener waits this long for the name of its process, which the next scan of all processes
/// finds.
const NAMED_WITHIN_NS: u64 = 3_000_000_000;

/// Below this limit, a handful of clients fills half of the queue, which is not a problem.
const LEAST_LIMIT: u32 = 8;

/// A series, numbered by first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SeriesId(u64);

/// See the module documentation.
#[derive(Debug)]
pub struct Metrics {
    bounds: Bounds,
    /// The ephemeral ports.
    ephemeral: RangeInclusive<u16>,
    sockets: HashMap<ListenerId, Socket>,
    series: BTreeMap<SeriesId, Series>,
    by_identity: HashMap<Identity, SeriesId>,
    next: u64,
    /// The sum of the sockets that have no series.
    other: Series,
    host: Host,
}

impl Metrics {
    /// Metrics of a run without events yet.
    #[must_use]
    pub fn new(bounds: Bounds, ephemeral: RangeInclusive<u16>) -> Self {
        Self {
            bounds,
            ephemeral,
            sockets: HashMap::new(),
            series: BTreeMap::new(),
            by_identity: HashMap::new(),
            next: 0,
            other: Series::new(Kind::Other, Identity::other()),
            host: Host::default(),
        }
    }

    /// Replaces the bounds. Series that are shown stay until their sockets close.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Ends an interval, with its rows in the order of the listeners.
    pub fn interval(&mut self, model: &Model, rows: &[Interval], time_ns: u64) {
        self.other.begin();
        self.series.values_mut().for_each(Series::begin);
        for page in model.evicted() {
            self.count(page, None, time_ns);
            self.sockets.remove(&page.listener.id);
        }
        for page in model.pages() {
            let id = page.listener.id;
            let found = rows.binary_search_by_key(&id, |row| row.listener);
            let row = found.ok().and_then(|index| rows.get(index));
            self.count(page, row, time_ns);
            if let Some(row) = row {
                self.show(model, page, row, time_ns);
            }
        }
        let window_ns = self.bounds.peak_window_ns;
        self.other.end(time_ns, window_ns);
        self.series.values_mut().for_each(|series| series.end(time_ns, window_ns));
        self.evict(time_ns);
        let of_series: HashSet<&str> =
            self.series.values().map(|series| series.identity.netns.as_str()).collect();
        self.host.namespaces(model, &of_series);
    }

    /// Adds a comparison with the kernel's counters.
    pub fn reconciled(&mut self, accounts: &[Account]) {
        self.host.reconciled(accounts);
    }

    /// Sets the state of the tool itself.
    pub fn health(&mut self, health: &Health) {
        self.host.health = *health;
    }

    /// Everything that is shown at this time.
    #[must_use]
    pub fn snapshot(&self, now: &Now<'_>) -> Snapshot {
        let other =
            (!self.other.counts.is_empty() || self.other.members > 0).then_some(&self.other);
        let series = self.series.values().chain(other);
        let is_pending = |socket: &&Socket| matches!(socket.target, Target::Pending(_));
        let pending = self.sockets.values().filter(is_pending).count();
        Snapshot::of(now, series, &self.host, (pending, self.bounds.max_listeners))
    }

    /// Adds the counts of a socket since the last interval to its series.
    fn count(&mut self, page: &Page, row: Option<&Interval>, time_ns: u64) {
        let id = page.listener.id;
        let mut socket = self.sockets.remove(&id).unwrap_or_default();
        let moved = socket.take(page, row, time_ns);
        self.host.counts.add(&moved);
        let target = std::mem::take(&mut socket.target);
        socket.target = match self.place(page, target, time_ns) {
            Target::Pending(mut so_far) => {
                so_far.add(&moved);
                Target::Pending(so_far)
            }
            Target::Shown(series) => {
                self.at(series).counts.add(&moved);
                Target::Shown(series)
            }
            Target::Other => {
                self.other.counts.add(&moved);
                Target::Other
            }
        };
        self.sockets.insert(id, socket);
    }

    /// The destination of a socket's counts from now on.
    fn place(&mut self, page: &Page, target: Target, time_ns: u64) -> Target {
        let is_loud = is_loud(page);
        match target {
            Target::Pending(so_far) => match self.first_place(page, is_loud, time_ns) {
                Some(target) => {
                    self.counts_of(&target).add(&so_far);
                    target
                }
                None => Target::Pending(so_far),
            },
            Target::Shown(series) if is_loud && self.at(series).kind == Kind::Ephemeral => {
                match self.own(page, has_refused(page)) {
                    Target::Other => Target::Shown(series),
                    own => own,
                }
            }
            Target::Other if page.closed.is_none() && (is_loud || self.has_room()) => {
                self.own(page, has_refused(page))
            }
            Target::Shown(_) | Target::Other => target,
        }
    }

    /// The first destination; none while it is not clear whether the socket lasts.
    fn first_place(&mut self, page: &Page, is_loud: bool, time_ns: u64) -> Option<Target> {
        let listener = &page.listener;
        if self.ephemeral.contains(&listener.local.port()) && !is_loud {
            return Some(self.find_or_add(Kind::Ephemeral, Identity::ephemeral(listener), false));
        }
        let age_ns = time_ns.saturating_sub(page.first_seen_ns);
        if page.closed.is_none() && listener.process().is_none() && age_ns < NAMED_WITHIN_NS {
            return None;
        }
        let lasts = !listener.opened_now || age_ns >= self.bounds.min_age_ns;
        if is_loud || lasts || self.by_identity.contains_key(&Identity::own(listener)) {
            return Some(self.own(page, has_refused(page)));
        }
        let is_over = page.closed.is_some();
        is_over.then(|| self.find_or_add(Kind::Ephemeral, Identity::ephemeral(listener), false))
    }

    fn own(&mut self, page: &Page, has_refused: bool) -> Target {
        self.find_or_add(Kind::Own, Identity::own(&page.listener), has_refused)
    }

    /// The series of an identity. A new one is added if there is room, or if it may replace a
    /// closed one.
    fn find_or_add(&mut self, kind: Kind, identity: Identity, may_evict: bool) -> Target {
        if let Some(series) = self.by_identity.get(&identity) {
            return Target::Shown(*series);
        }
        let has_room = self.has_room() || (may_evict && self.evict_closed());
        if !has_room {
            return Target::Other;
        }
        self.next += 1;
        let id = SeriesId(self.next);
        self.by_identity.insert(identity.clone(), id);
        self.series.insert(id, Series::new(kind, identity));
        Target::Shown(id)
    }

    fn has_room(&self) -> bool {
        self.series.len() < self.bounds.max_listeners
    }

    fn at(&mut self, id: SeriesId) -> &mut Series {
        // A series stays as long as its sockets.
        self.series.get_mut(&id).unwrap_or(&mut self.other)
    }

    fn counts_of(&mut self, target: &Target) -> &mut Counts {
        match target {
            Target::Shown(series) => &mut self.at(*series).counts,
            Target::Pending(_) | Target::Other => &mut self.other.counts,
        }
    }

    /// Shows the state of a socket that is open, or closed in this interval.
    fn show(&mut self, model: &Model, page: &Page, row: &Interval, time_ns: u64) {
        let Some(socket) = self.sockets.get_mut(&page.listener.id) else { return };
        let series = match socket.target {
            Target::Pending(_) => return,
            Target::Shown(series) => self.series.get_mut(&series).unwrap_or(&mut self.other),
            Target::Other => &mut self.other,
        };
        let settings = model.settings_of(page.listener.netns);
        self.host.named(&page.listener);
        if page.closed.is_some() {
            return series.closes(page, row, settings);
        }
        if series.kind == Kind::Own && socket.is_to_be_sized(row, time_ns) {
            let sizing = model.sizing(page, time_ns);
            let (verdict, confidence) = (sizing.verdict, sizing.confidence);
            socket.sized = Some(Sized { verdict, confidence, backlog: sizing.backlog });
            socket.sized_ns = time_ns;
        }
        series.member(page, row, settings, socket.sized);
    }

    /// Evicts series that have been closed for long enough, unless they still have a page to count.
    fn evict(&mut self, time_ns: u64) {
        let keep_ns = self.bounds.keep_closed_ns;
        let is_over = |series: &Series| {
            series.closed_ns.is_some_and(|closed_ns| closed_ns.saturating_add(keep_ns) <= time_ns)
        };
        let over = self.series.iter().filter(|(_, series)| is_over(series));
        let over: Vec<SeriesId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.remove(id);
        }
    }

    /// Makes room by evicting the series that has been closed for longest. Returns false if all are
    /// open.
    fn evict_closed(&mut self) -> bool {
        let closed = self.series.iter().filter_map(|(id, series)| Some((series.closed_ns?, *id)));
        let Some((_, oldest)) = closed.min() else { return false };
        self.remove(oldest);
        true
    }

    fn remove(&mut self, id: SeriesId) {
        if let Some(series) = self.series.remove(&id) {
            self.by_identity.remove(&series.identity);
        }
    }
}

/// Whether it is of interest regardless of its port and age.
fn is_loud(page: &Page) -> bool {
    let limit = page.listener.limit;
    has_refused(page) || (limit >= LEAST_LIMIT && page.peak().0 >= limit.div_ceil(2))
}

fn has_refused(page: &Page) -> bool {
    page.totals.drops.iter().any(|drops| *drops > 0)
}
