//! Which listeners are known at each address: those of one namespace may be a group, and where
//! there are several namespaces, the address alone does not tell them apart.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::event::{Listener, ListenerId, Netns};

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    everywhere: HashMap<SocketAddr, Known>,
    /// Those with a page, in the order of their opening.
    in_namespace: HashMap<(Netns, SocketAddr), BTreeSet<ListenerId>>,
}

/// The namespace of the first page at an address, whether another has one, and how many pages
/// there are.
#[derive(Clone, Copy, Debug)]
struct Known {
    netns: Netns,
    several: bool,
    pages: u32,
}

/// The other listeners at a listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// No listener of another namespace.
    Nobody,
    /// One of another namespace, who is alone no more.
    First,
    /// Listeners of several namespaces.
    Others,
}

impl Addresses {
    /// A listener was found.
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

    /// The listeners at the address of this one, in its namespace; itself included.
    pub(super) fn beside(&self, listener: &Listener) -> Option<&BTreeSet<ListenerId>> {
        self.in_namespace.get(&(listener.netns, listener.local))
    }

    /// Its page is gone.
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
