//! Addresses with listeners in several network namespaces.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::event::{Listener, Netns};

/// By address: the namespace of its first page, whether another has one, and how many pages
/// there are.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<SocketAddr, Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    netns: Netns,
    several: bool,
    pages: u32,
}

/// The other listeners at a listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Nobody of another namespace.
    Nobody,
    /// One of another namespace, who is alone no more.
    First,
    /// Listeners of several namespaces.
    Others,
}

impl Addresses {
    /// A listener was found.
    pub(super) fn opened(&mut self, listener: &Listener) -> Met {
        let netns = listener.netns;
        let fresh = || Known { netns, several: false, pages: 0 };
        let known = self.0.entry(listener.local).or_insert_with(fresh);
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

    /// Its page is gone.
    pub(super) fn forget(&mut self, listener: &Listener) {
        if let Some(known) = self.0.get_mut(&listener.local) {
            known.pages -= 1;
            if known.pages == 0 {
                self.0.remove(&listener.local);
            }
        }
    }
}
