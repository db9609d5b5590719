//! Links the listener of a restarted server to its predecessor.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::event::{Listener, ListenerId, Netns};

type Key = (Netns, SocketAddr, bool);

/// Closed listeners by the address that they were bound to, until another one succeeds them.
#[derive(Debug, Default)]
pub(super) struct History {
    closed: HashMap<Key, BTreeMap<u64, ListenerId>>,
    /// The position of each in the order in which they closed: thousands may have closed at one
    /// address, and each is removed individually.
    places: HashMap<ListenerId, u64>,
    next: u64,
}

fn key(listener: &Listener) -> Key {
    (listener.netns, listener.local, listener.v6_only)
}

impl History {
    /// Adds a closed listener.
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

    /// Removes a closed listener.
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
