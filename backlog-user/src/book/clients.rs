//! Which refused packets are one client's: retries carry the same address, port
//! and initial sequence number. Bounded; what the bound loses is counted.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;

// Twice as fast as the standard hasher, and seeded as well: whoever floods a listener must
// not be able to choose where his attempts go.
use foldhash::HashMap;

use crate::event::Drop;

/// One connection attempt, packed to be hashed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    address: u128,
    listener: u32,
    isn: u32,
    port: u16,
}

impl Attempt {
    fn of(drop: &Drop) -> Self {
        let (address, port) = match drop.client {
            SocketAddr::V4(client) => (client.ip().to_ipv6_mapped().to_bits(), client.port()),
            SocketAddr::V6(client) => (client.ip().to_bits(), client.port()),
        };
        Self { address, listener: drop.listener.0, isn: drop.isn, port }
    }
}

/// The refused attempts and when each was refused first, in two generations: when
/// the young one is full, the old one goes.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    young: HashMap<Attempt, u64>,
    old: HashMap<Attempt, u64>,
    forgotten: u64,
}

/// Attempts in a generation: about 3 MB.
const MOST: usize = 32_768;

impl Clients {
    /// Notes a refusal. For a retry: when the attempt was refused first.
    pub(crate) fn refused(&mut self, drop: &Drop, time_ns: u64) -> Option<u64> {
        let attempt = Attempt::of(drop);
        if let Some(first_ns) = self.old.get(&attempt) {
            return Some(*first_ns);
        }
        if self.young.len() >= MOST && !self.young.contains_key(&attempt) {
            self.forgotten += self.old.len() as u64;
            // The memory stays: new pages would cost more than all else here.
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
        }
        match self.young.entry(attempt) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(time_ns);
                None
            }
        }
    }

    /// So many were forgotten before it began.
    pub(super) fn forgot(&mut self, count: u64) {
        self.forgotten = count;
    }

    /// Attempts that are no longer remembered: a retry of theirs counts as a client.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::{Clients, MOST};
    use crate::event::{Drop, ListenerId};
    use backlog_ebpf::cause::Cause;

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let mut clients = Clients::default();
        let mut refused = |isn: usize| {
            let drop = Drop {
                listener: ListenerId(1),
                cause: Cause::AcceptQueueFullSyn,
                client: "10.0.0.9:4000".parse().unwrap(),
                isn: u32::try_from(isn).unwrap(),
                depth: 17,
                limit: 16,
                syn_queue: 0,
                cpu: 0,
            };
            clients.refused(&drop, isn as u64)
        };
        for isn in 0..3 * MOST {
            assert_eq!(refused(isn), None);
        }
        assert_eq!(refused(3 * MOST - 1), Some(3 * MOST as u64 - 1));
        assert_eq!(refused(2 * MOST - 1), Some(2 * MOST as u64 - 1));
        assert_eq!(refused(0), None);
        // The first generation went when the third began, the second now.
        assert_eq!(clients.forgotten(), 2 * MOST as u64);
        assert!(clients.young.len() + clients.old.len() <= 2 * MOST);
    }
}
