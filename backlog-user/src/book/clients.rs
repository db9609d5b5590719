//! Which refused packets are one client's: retries carry the same address, port
//! and initial sequence number. Bounded; what the bound loses is counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use crate::event::{Drop, ListenerId};

/// One connection attempt.
type Attempt = (ListenerId, SocketAddr, u32);

/// The refused attempts and when each was refused first.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    first: HashMap<Attempt, u64>,
    untold: u64,
}

/// Attempts that are remembered: about 5 MB.
const MOST: usize = 65_536;

impl Clients {
    /// Notes a refusal. For a retry: when the attempt was refused first.
    pub(crate) fn refused(&mut self, drop: &Drop, time_ns: u64) -> Option<u64> {
        let full = self.first.len() >= MOST;
        match self.first.entry((drop.listener, drop.client, drop.isn)) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                if full {
                    self.untold += 1;
                } else {
                    entry.insert(time_ns);
                }
                None
            }
        }
    }

    /// Refusals that may have been retries of attempts no longer remembered.
    pub(crate) fn untold(&self) -> u64 {
        self.untold
    }
}
