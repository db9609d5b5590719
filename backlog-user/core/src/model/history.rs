//! A server that is started again: its new listener goes on where the old one has closed.

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

    /// One was found: the last that has closed where it opens, if there is one. One that was
    /// open before the start follows nobody.
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
