//! Detects a member of a group that waits or drops while others have room. It compares cumulative
//! totals and distributions of members that were open together, so the result does not depend on
//! the interval. docs/SIZING.md has the rule.

use super::super::page::Page;
use super::end_ns;
use crate::model::saturating::saturating;

/// The evidence of an imbalance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unbalanced {
    /// Its number among the members of the group, from 1.
    pub member: u32,
    /// The number of other members that were open together with it.
    pub others: usize,
    /// How many of these had room.
    pub with_room: usize,
    /// How many of these never used their queue.
    pub idle: usize,
    /// Its share of the connections of all these members.
    pub share: f64,
    /// Packets refused by the limit here.
    pub drops: u64,
    /// Packets refused by the limit at the others.
    pub others_drops: u64,
    /// Accept latency here: p99, microseconds.
    pub wait_us: Option<u64>,
    /// The p99 at those with room, smallest and largest.
    pub others_wait_us: Option<(u64, u64)>,
    /// How long nothing was accepted at the end, at least.
    pub stalled_ns: Option<u64>,
    /// Nothing was ever accepted here.
    pub never_accepted: bool,
}

/// With fewer connections, a member is not judged.
const FEW: u64 = 20;

/// At least this many connections must have waited that long: one unlucky client proves nothing.
const SEVERAL: f64 = 5.0;

/// The maxima for a member with room, relative to the judged member: its drops per connection and
/// its wait, with drops and without, are lower by these factors.
const DROPS_PART: f64 = 10.0;
const WAIT_PART: u64 = 4;
const WAIT_PART_WITHOUT_DROPS: u64 = 10;

/// A member whose waits are shorter is not slow, microseconds: after a burst that the hash
/// distributed unevenly, it needs a larger queue.
const SLOW_US: u64 = 10_000;

/// Without drops, a member is slow from this wait on, microseconds.
const SLOW_WITHOUT_DROPS_US: u64 = 100_000;

/// The figures of a member.
struct Fared {
    /// Packets refused by the limit, per packet that needed a place.
    refused: f64,
    /// A wait that several connections reached.
    wait_us: u64,
}

impl Fared {
    fn of(page: &Page, now_ns: u64) -> Self {
        let drops = page.refused_by_limit();
        let wanted = page.totals.enqueued.saturating_add(drops).max(1);
        let stalled_us = stalled_ns(page, now_ns).unwrap_or(0) / 1000;
        Self { refused: drops as f64 / wanted as f64, wait_us: tail_us(page).max(stalled_us) }
    }
}

/// The p99 of the waits; with few connections, the wait that several reached.
fn tail_us(page: &Page) -> u64 {
    let share = 1.0 - SEVERAL / page.wait.count().max(1) as f64;
    if share <= 0.0 {
        return 0;
    }
    page.wait.quantiles([share.min(0.99)]).map_or(0, |[wait_us]| wait_us)
}

/// How long nothing was accepted at the end with a full queue: since the first packet refused after
/// the last accept.
fn stalled_ns(page: &Page, now_ns: u64) -> Option<u64> {
    let (ended_ns, depth) = match page.closed {
        Some((closed_ns, closed)) => (closed_ns, closed.depth),
        None => (now_ns, page.depth()),
    };
    let since_ns = page.stall.since_ns(page.accepted_ns()).filter(|_| depth > 0)?;
    Some(ended_ns.saturating_sub(since_ns))
}

/// Whether the other member was open while this one refused packets, or, if this one refused none,
/// for at least half of its time.
fn together(page: &Page, other: &Page, now_ns: u64) -> bool {
    let (begin_ns, end) = (other.first_seen_ns, end_ns(other));
    let (mut all, mut beside) = (0_u64, 0_u64);
    for episode in page.episodes.kept() {
        all = all.saturating_add(episode.packets);
        beside = beside.saturating_add(
            episode.packets * u64::from((begin_ns..end).contains(&episode.begin_ns)),
        );
    }
    if all == 0 {
        let until_ns = end_ns(page).min(now_ns);
        all = until_ns.saturating_sub(page.first_seen_ns);
        beside = until_ns.min(end).saturating_sub(page.first_seen_ns.max(begin_ns));
    }
    beside > 0 && beside >= all - beside
}

/// Whether nine of ten arrivals found room in the queue.
fn is_mostly_open(page: &Page) -> bool {
    let [depth] = page.depth.quantiles([0.9]).unwrap_or_default();
    depth <= u64::from(page.listener.limit).max(1)
}

/// The imbalance if a listener waits or drops while other members of its group have room.
pub(crate) fn of<'model>(
    page: &Page,
    pages: impl Iterator<Item = &'model Page>,
    now_ns: u64,
) -> Option<Unbalanced> {
    let drops = page.refused_by_limit();
    let here = Fared::of(page, now_ns);
    let slow_us = if drops > 0 { SLOW_US } else { SLOW_WITHOUT_DROPS_US };
    if page.totals.enqueued.saturating_add(drops) < FEW || here.wait_us < slow_us {
        return None;
    }
    let members = super::of(page, pages)?;
    let is_other = |member: &&&Page| member.listener.id != page.listener.id;
    let others: Vec<&Page> = members
        .iter()
        .filter(is_other)
        .copied()
        .filter(|other| together(page, other, now_ns))
        .collect();
    let part = if drops > 0 { WAIT_PART } else { WAIT_PART_WITHOUT_DROPS };
    let has_room = |other: &&Page| {
        let there = Fared::of(other, now_ns);
        there.refused * DROPS_PART <= here.refused
            && there.wait_us.saturating_mul(part) <= here.wait_us
            && is_mostly_open(other)
    };
    let with_room: Vec<&Page> = others.iter().copied().filter(has_room).collect();
    // If no member accepts, the problem is not one slow member.
    let accepts = with_room.iter().any(|other| other.totals.accepted > 0);
    if with_room.is_empty()
        || with_room.len() * 2 < others.len()
        || !(accepts || page.totals.accepted > 0)
    {
        return None;
    }
    let others_enqueued = saturating(others.iter().map(|other| other.totals.enqueued));
    let waits = with_room.iter().filter_map(|other| p99_us(other));
    Some(Unbalanced {
        member: page.member,
        others: others.len(),
        with_room: with_room.len(),
        idle: with_room.iter().filter(|other| other.peak().0 == 0).count(),
        share: page.totals.enqueued as f64 / (page.totals.enqueued + others_enqueued).max(1) as f64,
        drops,
        others_drops: saturating(others.iter().map(|other| other.refused_by_limit())),
        wait_us: p99_us(page),
        others_wait_us: waits.clone().min().zip(waits.max()),
        stalled_ns: stalled_ns(page, now_ns),
        never_accepted: page.totals.accepted == 0,
    })
}

fn p99_us(page: &Page) -> Option<u64> {
    page.wait.quantiles([0.99]).map(|[p99]| p99)
}
