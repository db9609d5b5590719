//! Listeners that share an address by `SO_REUSEPORT`: the kernel spreads connections over
//! them by a hash, so that one may overflow while others idle.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::page::Page;
use super::summary::Summary;
use crate::event::ListenerId;

/// What the members of a group have in common.
type Key = (u32, SocketAddr, bool);

/// The group that a listener is in, if there is one. Of a listener that was open before the
/// start and has had no event it is not known whether it shares its address; where another
/// one on it does, all do.
fn key(page: &Page) -> Option<Key> {
    let listener = &page.listener;
    (listener.reuseport != Some(false)).then_some((
        listener.netns,
        listener.local,
        listener.v6_only,
    ))
}

/// Does this one share its address, as far as is known?
fn shares(page: &Page) -> bool {
    page.listener.reuseport == Some(true)
}

/// A member refused packets while others had nothing queued, or had room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BesideIdle {
    /// Members in whose queues nothing was in that interval.
    pub(crate) idle: usize,
    /// Members whose queues never filled in it, those included.
    pub(crate) with_room: usize,
    /// All members.
    pub(crate) members: usize,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group<'book> {
    /// Its members, in the order in which they were found.
    pub(crate) members: Vec<Summary<'book>>,
}

/// The groups of two members or more. Of one whose members have all closed, what they were.
pub(crate) fn groups<'book>(
    summaries: &[Summary<'book>],
) -> impl Iterator<Item = Group<'book>> + use<'book> {
    let mut by_key: BTreeMap<Key, Vec<Summary<'book>>> = BTreeMap::new();
    for summary in summaries {
        if let Some(key) = key(summary.page) {
            by_key.entry(key).or_default().push(*summary);
        }
    }
    by_key.into_values().filter_map(|mut members| {
        if !members.iter().any(|member| shares(member.page)) {
            return None;
        }
        // After a restart the members of before are another group.
        if members.iter().any(|member| member.page.closed.is_none()) {
            members.retain(|member| member.page.closed.is_none());
        }
        (members.len() > 1).then_some(Group { members })
    })
}

impl Group<'_> {
    /// Connections that came to any of them.
    pub(crate) fn enqueued(&self) -> u64 {
        self.members.iter().map(|member| member.page.totals.enqueued).sum()
    }

    /// How much more than the mean the busiest one got; none if nothing came.
    pub(crate) fn imbalance(&self) -> Option<f64> {
        let most = self.members.iter().map(|member| member.page.totals.enqueued).max()?;
        let sum = self.enqueued();
        (sum > 0).then(|| most as f64 * self.members.len() as f64 / sum as f64)
    }

    /// The place of a listener among the members, from 1.
    pub(crate) fn place(&self, listener: ListenerId) -> Option<usize> {
        let at = self.members.iter().position(|member| member.page.listener.id == listener)?;
        Some(at + 1)
    }
}

/// Notes at members that refused packets in an interval how many others were idle in it.
pub(super) fn note(pages: &mut BTreeMap<ListenerId, Page>, rows: &[Interval]) {
    if rows.iter().all(|row| row.dropped() == 0) {
        return;
    }
    let mut members: BTreeMap<Key, (BesideIdle, bool)> = BTreeMap::new();
    for row in rows {
        let Some(page) = pages.get(&row.listener) else { continue };
        let Some(key) = key(page) else { continue };
        let (group, shared) = members.entry(key).or_default();
        group.members += 1;
        group.idle += usize::from(row.peak == 0);
        group.with_room += usize::from(row.peak <= row.limit && row.dropped() == 0);
        *shared |= shares(page);
    }
    for row in rows.iter().filter(|row| row.dropped() > 0) {
        let Some(page) = pages.get_mut(&row.listener) else { continue };
        let Some((beside, true)) = key(page).and_then(|key| members.get(&key)) else { continue };
        page.beside_idle = page.beside_idle.max((beside.with_room > 0).then_some(*beside));
    }
}
