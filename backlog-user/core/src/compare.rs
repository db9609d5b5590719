//! Compares two runs: pairs their addresses, and decides whether the later run shows a change.

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

/// A run, reduced to what is compared.
#[derive(Debug)]
pub struct Run {
    /// How long it lasted.
    pub elapsed_ns: u64,
    /// The listeners where anything happened, grouped by address.
    pub places: Vec<Place>,
    /// Listeners that were evicted before the end: no place includes them.
    pub evicted: u64,
}

/// The listeners of a run at one address: those that shared it, and those that succeeded each
/// other.
#[derive(Debug)]
pub struct Place {
    /// The address.
    pub local: SocketAddr,
    /// The name of their network namespace, if it is not the host's and the name outlasts a run.
    pub netns: Option<String>,
    /// The number of listeners.
    pub listeners: u64,
    /// The number of those that were open at the end.
    pub open: u64,
    /// The smallest and the largest limit; only of those that were open at the end, if there are
    /// any.
    pub limits: (u32, u32),
    /// Connections added to the accept queues.
    pub enqueued: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Refused packets.
    pub drops: u64,
    /// Clients that were refused at least once.
    pub clients: u64,
    /// Whether `clients` includes all of them; otherwise there may be more.
    pub every_client: bool,
    /// The outcome of those that were not accepted later.
    pub unadmitted: UnadmittedClients,
    /// Episodes of refusals.
    pub episodes: u64,
    /// The deepest queue relative to its limit: the depth, and the limit.
    pub peak: (u32, u32),
    /// Waits for `accept()`, microseconds.
    pub wait: Distribution,
    /// The verdict on the listener with the most serious problem, its confidence, and its reason.
    pub verdict: (Verdict, Confidence, String),
}

/// An address that both runs have, or only one.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'run> {
    /// In the first run.
    pub before: Option<&'run Place>,
    /// In the second run.
    pub after: Option<&'run Place>,
}

/// How refusals have changed from the first run to the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// No client was refused in either run.
    NoneInEither,
    /// Clients were refused in the first run, and no longer are.
    Gone,
    /// No client was refused in the second run, but it is too short to prove a change: at the rate
    /// of the first run, it would have had this many episodes.
    TooShort(f64),
    /// A smaller share of clients was refused.
    Fewer,
    /// About the same share was refused.
    AsMany,
    /// A larger share was refused.
    More,
    /// Clients were refused only in the second run.
    New,
    /// Only the first run has listeners there.
    OnlyBefore,
    /// Only the second run has listeners there.
    OnlyAfter,
}

/// If this many are expected, none occurs by chance once in twenty times: e to the power of -3.
const ENOUGH: f64 = 3.0;
/// Shares that differ by less are about the same: two runs under the same load differ by as much.
const ALIKE: f64 = 0.25;
/// With fewer connections per second than this part of those before, the load was different.
const SAME_LOAD: f64 = 0.8;

impl Run {
    /// The state of a model at `time_ns`, of a run that started at `start_ns`.
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

    /// Identifies a place within its run.
    fn key(&self) -> (SocketAddr, Option<&str>) {
        (self.local, self.netns.as_deref())
    }

    fn merge(&mut self, other: Self) {
        let ((low, high), (other_low, other_high)) = (self.limits, other.limits);
        self.limits = match (self.open, other.open) {
            // A closed listener says nothing about the current limit.
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

    /// Clients that tried to connect: those that were queued, and those that never were.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.enqueued.saturating_add(self.unadmitted.count())
    }

    /// The share of clients that were refused at least once; none if there were no clients.
    #[must_use]
    pub fn refused_share(&self) -> Option<f64> {
        let attempts = self.attempts();
        (attempts > 0).then(|| self.clients as f64 / attempts as f64)
    }
}

/// Whether the name of a network namespace means the same one in another run. A namespace without a
/// name is called `pid 812 (bash)`.
fn is_lasting(name: &str) -> bool {
    name != "host" && !name.starts_with("pid ")
}

/// The rank of a verdict, the most serious problem first.
fn rank(verdict: Verdict) -> usize {
    let known = |verdict: &Verdict| *verdict != Verdict::NotEnoughData;
    let mut order = Verdict::AS_TESTED.into_iter().filter(known);
    // Without enough data the rank is lower than without a problem.
    order.position(|one| one == verdict).unwrap_or(Verdict::AS_TESTED.len())
}

fn use_of((depth, limit): (u32, u32)) -> f64 {
    f64::from(depth) / f64::from(limit.max(1))
}

/// Pairs the addresses of both runs: the same address in the same namespace; then, of what remains,
/// addresses with the same port if each run has only one. Sorted by refusals and connections.
#[must_use]
pub fn pairs<'run>(before: &'run Run, after: &'run Run) -> Vec<Pair<'run>> {
    let mut left: BTreeMap<_, _> = after.places.iter().map(|place| (place.key(), place)).collect();
    let mut pairs = Vec::new();
    // The places of each run that have no equal in the other one.
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
    /// How the refusals have changed.
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

    /// The number of episodes that the second run would have had at the rate per client of the
    /// first run; none if only one run has the address, or the first had no refusals.
    #[must_use]
    pub fn expected_episodes(&self) -> Option<f64> {
        let (before, after) = (self.before?, self.after?);
        let episodes = if before.drops > 0 { before.episodes.max(1) } else { return None };
        Some(episodes as f64 * after.attempts() as f64 / before.attempts().max(1) as f64)
    }

    /// The connections per second of both runs, if the second had clearly fewer: then it proves
    /// less.
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
