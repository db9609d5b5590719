//! Two runs side by side: what each knows of the listeners at an address, which addresses belong
//! together, and whether the later run shows a change.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use crate::model::Model;
use crate::model::clients::UnadmittedClients;
use crate::model::distribution::Distribution;
use crate::model::saturating::saturating;
use crate::model::sizing::{Confidence, Verdict};
use crate::model::summary::Summary;

pub mod words;

#[cfg(test)]
mod tests;

/// A run, as far as it is compared.
#[derive(Debug)]
pub struct Run {
    /// How long it lasted.
    pub elapsed_ns: u64,
    /// The listeners where anything happened, by address.
    pub places: Vec<Place>,
    /// Listeners that were evicted before the end: no place includes them.
    pub evicted: u64,
}

/// The listeners of a run at one address: those that shared it, and those that followed each
/// other.
#[derive(Debug)]
pub struct Place {
    /// The address.
    pub local: SocketAddr,
    /// The name of their network namespace, if it is another than the host's and has one that lasts.
    pub netns: Option<String>,
    /// How many listeners.
    pub listeners: u64,
    /// How many of them were open at the end.
    pub open: u64,
    /// The smallest and the largest limit, of those that were open at the end if any was.
    pub limits: (u32, u32),
    /// Connections added to the accept queues.
    pub enqueued: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Refused packets.
    pub drops: u64,
    /// Clients that were refused at least once.
    pub clients: u64,
    /// These are all of them; else there may be more.
    pub every_client: bool,
    /// What became of those that were not accepted later.
    pub unadmitted: UnadmittedClients,
    /// Episodes of refusals.
    pub episodes: u64,
    /// The deepest queue in terms of its limit: the depth, and the limit.
    pub peak: (u32, u32),
    /// Waits for `accept()`, microseconds.
    pub wait: Distribution,
    /// The verdict on the listener with the most trouble, how sure it is, and why.
    pub verdict: (Verdict, Confidence, String),
}

/// An address in both runs, or in one of them alone.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'run> {
    /// In the first run.
    pub before: Option<&'run Place>,
    /// In the second.
    pub after: Option<&'run Place>,
}

/// What the second run shows of refusals, against the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Nobody was refused in either.
    NoneInEither,
    /// Clients were refused, and no longer are.
    Gone,
    /// Nobody was refused in the second run, but it is too short to tell: at the rate of the
    /// first, it would have had this many episodes.
    TooShort(f64),
    /// Fewer clients of a hundred were refused.
    Fewer,
    /// About as many.
    AsMany,
    /// More of them.
    More,
    /// Nobody was refused before.
    New,
    /// Only the first run has listeners there.
    OnlyBefore,
    /// Only the second has.
    OnlyAfter,
}

/// None of this many expected is chance once in twenty times: e to the power of -3.
const ENOUGH: f64 = 3.0;
/// A share that differs by less is about the same: two runs of one load differ by as much.
const ALIKE: f64 = 0.25;
/// Fewer connections per second than this part of before: the load was another.
const SAME_LOAD: f64 = 0.8;

impl Run {
    /// What a model knows at this time of a run that began at that.
    #[must_use]
    pub fn of(model: &Model, start_ns: u64, time_ns: u64) -> Self {
        let mut places: BTreeMap<(SocketAddr, Option<String>), Place> = BTreeMap::new();
        for summary in model.summaries().iter().filter(|summary| summary.active()) {
            let new = Place::of(model, summary, time_ns);
            match places.entry((new.local, new.netns.clone())) {
                Entry::Occupied(place) => place.into_mut().merge(new),
                Entry::Vacant(place) => drop(place.insert(new)),
            }
        }
        let places = places.into_values().collect();
        Self { elapsed_ns: time_ns.saturating_sub(start_ns), places, evicted: model.gone().active }
    }
}

impl Place {
    fn of(model: &Model, summary: &Summary<'_>, time_ns: u64) -> Self {
        let page = summary.page;
        let sizing = model.sizing(page, time_ns);
        let limit = page.listener.limit;
        let mut wait = Distribution::of_waits();
        wait.merge(&page.wait);
        Self {
            local: page.listener.local,
            netns: page.listener.identity.netns.clone().filter(|name| is_lasting(name)),
            listeners: 1,
            open: u64::from(page.closed.is_none()),
            limits: (limit, limit),
            enqueued: page.totals.enqueued,
            accepted: page.totals.accepted,
            drops: summary.drops,
            clients: page.clients(),
            every_client: page.has_every_client(),
            unadmitted: model.unadmitted(page, time_ns),
            episodes: page.episodes.count(),
            peak: (summary.peak, limit),
            wait,
            verdict: (sizing.verdict, sizing.confidence, sizing.why),
        }
    }

    /// No other place of a run has this one.
    fn key(&self) -> (SocketAddr, Option<&str>) {
        (self.local, self.netns.as_deref())
    }

    fn merge(&mut self, other: Self) {
        let ((low, high), (other_low, other_high)) = (self.limits, other.limits);
        self.limits = match (self.open, other.open) {
            // A closed one says nothing of the limit now.
            (0, 1..) => other.limits,
            (1.., 0) => self.limits,
            _ => (low.min(other_low), high.max(other_high)),
        };
        self.listeners += other.listeners;
        self.open += other.open;
        self.enqueued = self.enqueued.saturating_add(other.enqueued);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.drops = self.drops.saturating_add(other.drops);
        self.clients = self.clients.saturating_add(other.clients);
        self.every_client &= other.every_client;
        self.unadmitted = self.unadmitted.plus(&other.unadmitted);
        self.episodes = self.episodes.saturating_add(other.episodes);
        if use_of(other.peak) > use_of(self.peak) {
            self.peak = other.peak;
        }
        self.wait.merge(&other.wait);
        if rank(other.verdict.0) < rank(self.verdict.0) {
            self.verdict = other.verdict;
        }
    }

    /// Clients that came: those that were queued, and those that never were.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.enqueued.saturating_add(self.unadmitted.count())
    }

    /// The part of the clients that was refused at least once; none: none came.
    #[must_use]
    pub fn refused_share(&self) -> Option<f64> {
        let attempts = self.attempts();
        (attempts > 0).then(|| self.clients as f64 / attempts as f64)
    }
}

/// Does a name of a network namespace stand for the same one in another run? A namespace without a name
/// is called `pid 812 (bash)`.
fn is_lasting(name: &str) -> bool {
    name != "host" && !name.starts_with("pid ")
}

/// The most trouble first.
fn rank(verdict: Verdict) -> usize {
    let known = |verdict: &Verdict| *verdict != Verdict::NotEnoughData;
    let mut order = Verdict::AS_TESTED.into_iter().filter(known);
    // Nothing known is less than all well.
    order.position(|one| one == verdict).unwrap_or(Verdict::AS_TESTED.len())
}

fn use_of((depth, limit): (u32, u32)) -> f64 {
    f64::from(depth) / f64::from(limit.max(1))
}

/// The addresses of both runs: the same address in the same namespace belongs together; what is
/// left of a port belongs together if each run has one. In the order of refusals and connections.
#[must_use]
pub fn pairs<'run>(before: &'run Run, after: &'run Run) -> Vec<Pair<'run>> {
    let mut left: BTreeMap<_, _> = after.places.iter().map(|place| (place.key(), place)).collect();
    let mut pairs = Vec::new();
    // Of each run what has no equal in the other one.
    let mut by_port: BTreeMap<u16, [Vec<&Place>; 2]> = BTreeMap::new();
    for place in &before.places {
        match left.remove(&place.key()) {
            Some(same) => pairs.push(Pair { before: Some(place), after: Some(same) }),
            None => by_port.entry(place.local.port()).or_default()[0].push(place),
        }
    }
    for place in left.into_values() {
        by_port.entry(place.local.port()).or_default()[1].push(place);
    }
    for [gone, new] in by_port.into_values() {
        if let ([before], [after]) = (&gone[..], &new[..]) {
            pairs.push(Pair { before: Some(before), after: Some(after) });
            continue;
        }
        pairs.extend(gone.into_iter().map(|place| Pair { before: Some(place), after: None }));
        pairs.extend(new.into_iter().map(|place| Pair { before: None, after: Some(place) }));
    }
    pairs.sort_by_key(|pair| {
        let sides = || [pair.before, pair.after].into_iter().flatten();
        let sum = |count: fn(&Place) -> u64| saturating(sides().map(count));
        std::cmp::Reverse((sum(|place| place.drops), sum(|place| place.enqueued)))
    });
    pairs
}

impl Pair<'_> {
    /// What became of the refusals.
    #[must_use]
    pub fn change(&self) -> Change {
        let (before, after) = match (self.before, self.after) {
            (Some(before), Some(after)) => (before, after),
            (Some(_), None) => return Change::OnlyBefore,
            (None, _) => return Change::OnlyAfter,
        };
        match (before.drops, after.drops) {
            (0, 0) => Change::NoneInEither,
            (0, _) => Change::New,
            (_, 0) => {
                let expected = self.expected_episodes().unwrap_or_default();
                if expected < ENOUGH { Change::TooShort(expected) } else { Change::Gone }
            }
            _ => {
                let (Some(was), Some(is)) = (before.refused_share(), after.refused_share()) else {
                    return Change::AsMany;
                };
                if is < was * (1.0 - ALIKE) {
                    Change::Fewer
                } else if is > was * (1.0 + ALIKE) {
                    Change::More
                } else {
                    Change::AsMany
                }
            }
        }
    }

    /// The episodes that the second run would have had, if they were as frequent among its clients
    /// as in the first; none: it is not in both, or nobody was refused before.
    #[must_use]
    pub fn expected_episodes(&self) -> Option<f64> {
        let (before, after) = (self.before?, self.after?);
        let episodes = if before.drops > 0 { before.episodes.max(1) } else { return None };
        Some(episodes as f64 * after.attempts() as f64 / before.attempts().max(1) as f64)
    }

    /// The connections per second of both runs, if the second had clearly fewer of them: then it
    /// proves less.
    #[must_use]
    pub fn lower_load(&self, before: &Run, after: &Run) -> Option<(f64, f64)> {
        let was = per_second(self.before?.attempts(), before.elapsed_ns)?;
        let is = per_second(self.after?.attempts(), after.elapsed_ns)?;
        (is < was * SAME_LOAD).then_some((was, is))
    }
}

/// A count per second.
#[must_use]
pub fn per_second(count: u64, elapsed_ns: u64) -> Option<f64> {
    (elapsed_ns > 0).then(|| count as f64 * 1e9 / elapsed_ns as f64)
}
