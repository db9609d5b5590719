//! Numbers the members of `SO_REUSEPORT` groups in the order in which they opened. Numbering
//! restarts after all members have closed.

use std::collections::{BTreeMap, HashMap};

use super::group::{self, Key};
use super::page::Page;
use crate::event::ListenerId;

/// The numbers in use, by address.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<Key, Numbers>);

#[derive(Debug)]
struct Numbers {
    first: ListenerId,
    last: u32,
    open: u32,
}

/// The number of a new member.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) member: u32,
    /// The first member, which from now on shares its address.
    pub(super) first: ListenerId,
}

impl Members {
    /// Adds a listener.
    pub(super) fn opened(&mut self, page: &Page) -> Option<Number> {
        let first = page.listener.id;
        let fresh = || Numbers { first, last: 0, open: 0 };
        let numbers = self.0.entry(group::key(page)?).or_insert_with(fresh);
        numbers.last += 1;
        numbers.open += 1;
        Some(Number { member: numbers.last, first: numbers.first })
    }

    /// Removes a closed listener.
    pub(super) fn closed(&mut self, page: &Page) {
        let Some(key) = group::key(page) else { return };
        if let Some(numbers) = self.0.get_mut(&key) {
            numbers.open = numbers.open.saturating_sub(1);
            if numbers.open == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// The numbers that existing pages have.
    pub(super) fn of(pages: &BTreeMap<ListenerId, Page>) -> Self {
        let mut all = HashMap::new();
        for (key, members) in group::last_generations(pages.values()) {
            let open = members.iter().filter(|page| page.closed.is_none()).count();
            let last = members.iter().map(|page| page.member).max().unwrap_or(0);
            if let Some(first) = members.first().filter(|_| open > 0) {
                let (first, open) = (first.listener.id, u32::try_from(open).unwrap_or(u32::MAX));
                all.insert(key, Numbers { first, last, open });
            }
        }
        Self(all)
    }
}
