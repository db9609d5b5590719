//! The arithmetic of the truth: which accept belongs to which connect, how long each one waited,
//! and how long the queue was. Pure: timestamps in, numbers out.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::truth::{Wait, Waits};

/// A connect that succeeded, as the client saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    pub(super) local: SocketAddr,
    pub(super) started_ns: u64,
    pub(super) done_ns: u64,
}

/// An accept, as the server saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) peer: SocketAddr,
    pub(super) accepted_ns: u64,
}

/// The wait of each accepted connection whose client is known, by time of accept. A port may be
/// used again within a run: an accept belongs to the latest connect from that port that had begun
/// by then. (Begun, not ended, since a server on another CPU can be faster than the client's
/// return.)
pub(super) fn waits(connects: &[Connected], accepts: &[Accepted]) -> Vec<Wait> {
    let mut by_client: HashMap<SocketAddr, Vec<Connected>> = HashMap::new();
    for connect in connects {
        by_client.entry(connect.local).or_default().push(*connect);
    }
    for same in by_client.values_mut() {
        same.sort_by_key(|connect| connect.started_ns);
    }
    let mut waits: Vec<Wait> = accepts
        .iter()
        .filter_map(|accept| {
            let same = by_client.get(&accept.peer)?;
            let begun = same.partition_point(|connect| connect.started_ns < accept.accepted_ns);
            let connect = same.get(begun.checked_sub(1)?)?;
            Some(Wait {
                peer_port: accept.peer.port(),
                wait_us: accept.accepted_ns.saturating_sub(connect.done_ns) / 1000,
                at_most_us: accept.accepted_ns.saturating_sub(connect.started_ns).div_ceil(1000),
                connected_ns: connect.done_ns,
                accepted_ns: accept.accepted_ns,
            })
        })
        .collect();
    waits.sort_by_key(|wait| wait.accepted_ns);
    waits
}

/// Summarises the waits.
pub(super) fn summary(waits: &[Wait]) -> Waits {
    let sorted = |pick: fn(&Wait) -> u64| {
        let mut sorted: Vec<u64> = waits.iter().map(pick).collect();
        sorted.sort_unstable();
        sorted
    };
    let (least, most) = (sorted(|wait| wait.wait_us), sorted(|wait| wait.at_most_us));
    Waits {
        count: least.len() as u64,
        min: least.first().copied().unwrap_or(0),
        p50: rank(&least, 50),
        p99: rank(&least, 99),
        max: least.last().copied().unwrap_or(0),
        sum: least.iter().sum(),
        p50_at_most: rank(&most, 50),
        max_at_most: most.last().copied().unwrap_or(0),
    }
}

/// Nearest rank: the smallest value that at least `percent` of the values do not exceed.
fn rank(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

/// The largest number of connections that were connected and not yet accepted; those that were
/// never accepted count to the end.
pub(super) fn longest_queue(connects: &[Connected], accepts: &[Accepted]) -> u64 {
    let mut steps: Vec<(u64, i64)> = connects
        .iter()
        .map(|connect| (connect.done_ns, 1))
        .chain(accepts.iter().map(|accept| (accept.accepted_ns, -1)))
        .collect();
    // At the same nanosecond, a connection leaves before another one arrives: -1 sorts before 1.
    steps.sort_unstable();
    let longest = steps
        .iter()
        .scan(0_i64, |depth, (_, step)| {
            *depth += step;
            Some(*depth)
        })
        .max();
    longest.and_then(|depth| u64::try_from(depth).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(port: u16, started_ns: u64, done_ns: u64) -> Connected {
        Connected { local: SocketAddr::from(([127, 0, 0, 1], port)), started_ns, done_ns }
    }

    fn accept(port: u16, accepted_ns: u64) -> Accepted {
        Accepted { peer: SocketAddr::from(([127, 0, 0, 1], port)), accepted_ns }
    }

    #[test]
    fn a_wait_runs_from_connect_to_accept() {
        let waits = waits(&[connect(7, 1_000, 2_000)], &[accept(7, 302_000)]);
        assert_eq!((waits[0].wait_us, waits[0].at_most_us), (300, 301));
    }

    #[test]
    fn a_port_used_twice_is_told_apart_by_time() {
        let connects = [connect(7, 10_000, 11_000), connect(7, 50_000, 51_000)];
        // The first connect was never accepted, so the accept belongs to the second.
        let late = waits(&connects, &[accept(7, 61_000)]);
        assert_eq!(late[0].connected_ns, 51_000);
        let early = waits(&connects, &[accept(7, 40_000)]);
        assert_eq!(early[0].connected_ns, 11_000);
    }

    #[test]
    fn an_accept_that_overtakes_the_connect_waited_nothing() {
        let waits = waits(&[connect(7, 1_000, 9_000)], &[accept(7, 8_000)]);
        assert_eq!(waits[0].wait_us, 0);
    }

    #[test]
    fn ranks_are_those_of_real_waits() {
        let connects: Vec<_> = (0..100).map(|i| connect(i, 1, 1_000)).collect();
        let accepts: Vec<_> =
            (0..100).map(|i| accept(i, 1_000 + (u64::from(i) + 1) * 1_000)).collect();
        let numbers = summary(&waits(&connects, &accepts));
        assert_eq!((numbers.min, numbers.p50, numbers.p99, numbers.max), (1, 50, 99, 100));
        assert_eq!((numbers.count, numbers.sum), (100, 5050));
        assert_eq!(summary(&[]), Waits::default());
    }

    #[test]
    fn the_queue_is_counted_by_stamps() {
        let connects = [connect(1, 0, 10), connect(2, 0, 20), connect(3, 0, 30)];
        assert_eq!(longest_queue(&connects, &[accept(1, 25)]), 2);
        assert_eq!(longest_queue(&connects, &[]), 3);
    }
}
