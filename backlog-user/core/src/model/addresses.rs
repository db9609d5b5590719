//! The listeners at each address: those in one namespace may be a group, and if there are several
//! namespaces, the address alone is ambiguous.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::event::{Listener, ListenerId, Netns};

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    everywhere: HashMap<SocketAddr, Known>,
    /// Listeners with a page, in the order in which they opened.
    in_namespace: HashMap<(Netns, SocketAddr), BTreeSet<ListenerId>>,
}

/// The namespace of the first page at an address, whether another namespace has it too, and the
/// number of pages.
#[derive(Clone, Copy, Debug)]
struct Known {
    netns: Netns,
    several: bool,
    pages: u32,
}

/// The other listeners at a listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Only listeners of the same namespace.
    Nobody,
    /// The first one in another namespace: the address has become ambiguous.
    First,
    /// Listeners of several namespaces.
    Others,
}

impl Addresses {
    /// Adds a listener.
    pub(super) fn opened(&mut self, listener: &Listener) -> Met {
        let Listener { id, netns, local, .. } = *listener;
        self.in_namespace.entry((netns, local)).or_default().insert(id);
        let fresh = || Known { netns, several: false, pages: 0 };
        let known = self.everywhere.entry(local).or_insert_with(fresh);
        known.pages += 1;
        match (known.several, known.netns == netns) {
            (true, _) => Met::Others,
            (false, true) => Met::Nobody,
            (false, false) => {
                known.several = true;
                Met::First
            }
        }
    }

    /// The listeners at this one's address in its namespace, itself included.
    pub(super) fn beside(&self, listener: &Listener) -> Option<&BTreeSet<ListenerId>> {
        self.in_namespace.get(&(listener.netns, listener.local))
    }

    /// Removes a listener whose page is evicted.
    pub(super) fn forget(&mut self, listener: &Listener) {
        let Listener { id, netns, local, .. } = *listener;
        if let Some(known) = self.everywhere.get_mut(&local) {
            known.pages -= 1;
            if known.pages == 0 {
                self.everywhere.remove(&local);
            }
        }
        if let Some(here) = self.in_namespace.get_mut(&(netns, local)) {
            here.remove(&id);
            if here.is_empty() {
                self.in_namespace.remove(&(netns, local));
            }
        }
    }
}
