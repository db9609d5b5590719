//! Listeners that share an address by `SO_REUSEPORT`: the kernel spreads connections over
//! them by a hash, so that one may overflow while others idle.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::interval::Interval;
use super::page::Page;
use super::summary::Summary;
use crate::event::ListenerId;

/// What the members of a group have in common.
pub(crate) type Key = (u32, SocketAddr, bool);

/// The group that a listener is in, if it is in any.
pub(crate) fn key(page: &Page) -> Option<Key> {
    let listener = &page.listener;
    (listener.reuseport == Some(true)).then_some((listener.netns, listener.local, listener.v6_only))
}

/// A member refused packets while others had nothing queued, or had room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    let mut members: BTreeMap<Key, BesideIdle> = BTreeMap::new();
    for row in rows {
        if let Some(key) = pages.get(&row.listener).and_then(key) {
            let group =
                members.entry(key).or_insert(BesideIdle { idle: 0, with_room: 0, members: 0 });
            group.members += 1;
            group.idle += usize::from(row.peak == 0);
            group.with_room += usize::from(row.peak <= row.limit && row.dropped() == 0);
        }
    }
    for row in rows.iter().filter(|row| row.dropped() > 0) {
        let Some(page) = pages.get_mut(&row.listener) else { continue };
        let beside = key(page).and_then(|key| members.get(&key)).copied();
        page.beside_idle = page.beside_idle.max(beside.filter(|beside| beside.with_room > 0));
    }
}
