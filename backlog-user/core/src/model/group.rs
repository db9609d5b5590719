//! `SO_REUSEPORT` groups: listeners that share an address. The kernel distributes connections by a
//! hash, so one member may overflow while others are idle.

mod at_close;
mod unbalanced;
pub mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use self::at_close::AtClose;
pub(super) use self::at_close::of as at_close;
pub use self::unbalanced::Unbalanced;
pub(super) use self::unbalanced::of as unbalanced;
use super::page::Page;
use super::summary::Summary;
use crate::event::Netns;
use crate::model::saturating::saturating;

/// The common address of a group's members.
pub(super) type Key = (Netns, SocketAddr, bool);

/// The group that a listener may belong to. For a listener that was open before the start and has
/// had no event, it is unknown whether it shares its address; if another listener at the address
/// does, it does too.
pub(super) fn key(page: &Page) -> Option<Key> {
    let listener = &page.listener;
    (listener.reuseport != Some(false)).then_some((
        listener.netns,
        listener.local,
        listener.v6_only,
    ))
}

/// When the listener closed; the end of time while it is open.
fn end_ns(page: &Page) -> u64 {
    page.closed.map_or(u64::MAX, |(closed_ns, _)| closed_ns)
}

/// A group: members of one address, each open at the same time as another one.
#[derive(Debug)]
pub struct Group<'model> {
    /// Its members in the order in which they were found, including closed ones.
    pub members: Vec<Summary<'model>>,
    /// All members had closed before others opened the same address: a restart.
    pub replaced: bool,
}

/// The groups of at least two members, by address; those at one address in the order of time.
pub fn groups<'model>(
    summaries: &[Summary<'model>],
) -> impl Iterator<Item = Group<'model>> + use<'model> {
    let pages = summaries.iter().map(|summary| summary.page);
    let groups = by_key(pages).into_values().flat_map(|pages| {
        let generations = generations(pages);
        let last = generations.len().saturating_sub(1);
        let grouped = generations.into_iter().enumerate();
        grouped.map(move |(index, members)| (members, index < last)).collect::<Vec<_>>()
    });
    groups.filter(|(members, _)| is_group(members)).map(|(members, replaced)| Group {
        members: members.into_iter().map(Summary::of).collect(),
        replaced,
    })
}

/// Whether they share an address, as far as is known.
fn is_group(members: &[&Page]) -> bool {
    members.len() > 1 && members.iter().any(|page| page.listener.reuseport == Some(true))
}

fn by_key<'model>(pages: impl Iterator<Item = &'model Page>) -> BTreeMap<Key, Vec<&'model Page>> {
    let mut by_key: BTreeMap<Key, Vec<&Page>> = BTreeMap::new();
    for page in pages {
        if let Some(key) = key(page) {
            by_key.entry(key).or_default().push(page);
        }
    }
    by_key
}

/// Splits the listeners of one address at times when no member was open, which is a restart. A
/// reload opens new members before it closes the old ones, so it does not split the group.
fn generations(mut pages: Vec<&Page>) -> Vec<Vec<&Page>> {
    pages.sort_by_key(|page| (page.first_seen_ns, page.listener.id));
    let mut generations: Vec<Vec<&Page>> = Vec::new();
    let mut open_until_ns = 0;
    for page in pages {
        match generations.last_mut() {
            Some(members) if page.first_seen_ns < open_until_ns => members.push(page),
            _ => generations.push(vec![page]),
        }
        open_until_ns = open_until_ns.max(end_ns(page));
    }
    for members in &mut generations {
        members.sort_by_key(|page| page.listener.id);
    }
    generations
}

/// The open listeners of each address, and those that were open together with them.
pub(super) fn last_generations<'model>(
    pages: impl Iterator<Item = &'model Page>,
) -> impl Iterator<Item = (Key, Vec<&'model Page>)> {
    let last = |(key, pages)| Some((key, generations(pages).pop()?));
    by_key(pages).into_iter().filter_map(last)
}

/// The group of a listener, itself included; none if it does not share its address.
fn of<'model>(page: &Page, pages: impl Iterator<Item = &'model Page>) -> Option<Vec<&'model Page>> {
    let wanted = key(page)?;
    let pages = pages.filter(|page| key(page) == Some(wanted)).collect();
    let mut generations = generations(pages).into_iter();
    let is_here =
        |members: &Vec<&Page>| members.iter().any(|member| member.listener.id == page.listener.id);
    generations.find(is_here).filter(|members| is_group(members))
}

impl Group<'_> {
    /// The connections of all members.
    #[must_use]
    pub fn enqueued(&self) -> u64 {
        saturating(self.members.iter().map(|member| member.page.totals.enqueued))
    }

    /// The busiest member's share, relative to the mean; none if nothing arrived.
    #[must_use]
    pub fn imbalance(&self) -> Option<f64> {
        let most = self.members.iter().map(|member| member.page.totals.enqueued).max()?;
        let sum = self.enqueued();
        (sum > 0).then(|| most as f64 * self.members.len() as f64 / sum as f64)
    }

    /// The number of open members.
    #[must_use]
    pub fn open(&self) -> usize {
        self.members.iter().filter(|member| member.page.closed.is_none()).count()
    }
}

#[cfg(test)]
mod tests;
