//! Which refused packets are one client's: retries carry the same address, port
//! and initial sequence number. Bounded; what the bound loses is counted.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::event::{Drop, ListenerId};

/// One connection attempt.
type Attempt = (ListenerId, SocketAddr, u32);

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
        let attempt = (drop.listener, drop.client, drop.isn);
        if let Some(first_ns) = self.young.get(&attempt).or_else(|| self.old.get(&attempt)) {
            return Some(*first_ns);
        }
        if self.young.len() >= MOST {
            self.forgotten += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(attempt, time_ns);
        None
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
