//! Restarted servers: the new listener continues the history of the closed one.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::event::{Listener, ListenerId, Netns};

type Key = (Netns, SocketAddr, bool);

/// Listeners that have closed, by what they were bound to, while no other has taken their
/// place.
#[derive(Debug, Default)]
pub(super) struct History {
    closed: HashMap<Key, BTreeMap<u64, ListenerId>>,
    /// The place of each in the order in which they closed: thousands may have closed at one
    /// address, and each is forgotten on its own.
    places: HashMap<ListenerId, u64>,
    next: u64,
}

fn key(listener: &Listener) -> Key {
    (listener.netns, listener.local, listener.v6_only)
}

impl History {
    /// A listener has closed.
    pub(super) fn closed(&mut self, listener: &Listener) {
        self.forget(listener);
        self.next += 1;
        self.places.insert(listener.id, self.next);
        self.closed.entry(key(listener)).or_default().insert(self.next, listener.id);
    }

    /// Links a new listener to the last one closed at its address, if there is one. A listener that
    /// was open before the start has no predecessor.
    pub(super) fn opened(&mut self, listener: &Listener) -> Option<ListenerId> {
        if !listener.opened_now {
            return None;
        }
        let (_, last) = self.closed.get(&key(listener))?.last_key_value()?;
        let last = *last;
        self.remove(&key(listener), last);
        Some(last)
    }

    /// Nothing more is known of one that has closed.
    pub(super) fn forget(&mut self, listener: &Listener) {
        self.remove(&key(listener), listener.id);
    }

    fn remove(&mut self, key: &Key, id: ListenerId) {
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(closed) = self.closed.get_mut(key) {
            closed.remove(&place);
            if closed.is_empty() {
                self.closed.remove(key);
            }
        }
    }
}
