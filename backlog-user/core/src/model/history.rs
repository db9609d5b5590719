//! Restarted servers: the new listener continues the history of the closed one.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::event::{Listener, ListenerId, Netns};

/// Listeners that have closed, by what they were bound to, while no other has taken their
/// place.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<(Netns, SocketAddr, bool), Vec<ListenerId>>);

fn key(listener: &Listener) -> (Netns, SocketAddr, bool) {
    (listener.netns, listener.local, listener.v6_only)
}

impl History {
    /// A listener has closed.
    pub(super) fn closed(&mut self, listener: &Listener) {
        self.0.entry(key(listener)).or_default().push(listener.id);
    }

    /// Links a new listener to the last one closed at its address, if there is one. A listener that
    /// was open before the start has no predecessor.
    pub(super) fn opened(&mut self, listener: &Listener) -> Option<ListenerId> {
        if !listener.opened_now {
            return None;
        }
        let closed = self.0.get_mut(&key(listener))?;
        let last = closed.pop();
        if closed.is_empty() {
            self.0.remove(&key(listener));
        }
        last
    }

    /// Nothing more is known of one that has closed.
    pub(super) fn forget(&mut self, listener: &Listener) {
        if let Some(closed) = self.0.get_mut(&key(listener)) {
            closed.retain(|id| *id != listener.id);
            if closed.is_empty() {
                self.0.remove(&key(listener));
            }
        }
    }
}
