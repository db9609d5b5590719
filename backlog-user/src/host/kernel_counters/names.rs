//! Names network namespaces, and distinguishes those that reuse an inode number.

use std::fs::File;

use backlog_core::event::Netns;

use super::KernelCounters;

/// How often an interval may search for names because of new namespaces.
pub(super) const LOOKS_FOR_NAMES: u32 = 4;

impl KernelCounters {
    /// Identifies a network namespace beyond its inode number; `held` has kept it open since it was
    /// looked up. None: unknown.
    pub(crate) fn identity_of(&self, netns: u32, held: Option<File>) -> Option<u32> {
        let identify = self.identify.clone();
        let look = move || Ok(identify.here());
        let found = match held {
            Some(file) => self.namespaces.inside_open(netns, file, look),
            None => self.namespaces.inside(netns, look),
        };
        found.ok().flatten()
    }

    /// The name of a namespace. Names are found by inode number: if another namespace had that
    /// number before, the search is repeated.
    pub(crate) fn name(&mut self, netns: Netns) -> Option<String> {
        let known = self.named.get(&netns.inode()).copied();
        if known != Some(netns) && (known.is_some() || self.new.contains(&netns)) {
            if self.looks_left == 0 {
                return None;
            }
            self.looks_left -= 1;
            self.find_again();
        }
        self.named.insert(netns.inode(), netns);
        self.known_name(netns)
    }

    /// The name without a search.
    pub(crate) fn known_name(&self, netns: Netns) -> Option<String> {
        let inode = netns.inode();
        let known = self.named.get(&inode).is_none_or(|known| *known == netns);
        known.then(|| self.namespaces.name_of(inode)).flatten()
    }
}
