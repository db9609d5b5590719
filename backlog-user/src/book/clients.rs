//! Which refused packets are one client's: retries carry the same address, port and initial
//! sequence number. And what became of the client: it got in later, or has not so far.
//! Bounded; what the bound loses is counted.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use backlog_ebpf::cause::Cause;
// Twice as fast as the standard hasher, and seeded as well: whoever floods a listener must
// not be able to choose where his attempts go.
use foldhash::HashMap;

use crate::event::{Admitted, Drop, ListenerId};

/// One connection attempt, packed to be hashed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    address: u128,
    listener: u32,
    isn: u32,
    port: u16,
}

impl Attempt {
    fn of(listener: ListenerId, client: SocketAddr, isn: u32) -> Self {
        let (address, port) = match client {
            SocketAddr::V4(client) => (client.ip().to_ipv6_mapped().to_bits(), client.port()),
            SocketAddr::V6(client) => (client.ip().to_bits(), client.port()),
        };
        Self { address, listener: listener.0, isn, port }
    }
}

/// When an attempt was refused, why at last, and whether it has got in all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    first_ns: u64,
    last_ns: u64,
    cause: Cause,
    is_in: bool,
}

/// The attempts that were refused, in two generations: when the young one is full, the old one
/// goes. Those that have got in stay in it: the ACK and the FIN of a client may be looked at by
/// two CPUs at a time, one be let in and the other be refused, and be told in either order.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    young: HashMap<Attempt, Refused>,
    old: HashMap<Attempt, Refused>,
    forgotten: u64,
}

/// A packet with a SYN cookie counts as the ACK of a handshake up to so many numbers behind it:
/// the kernel takes the difference for another place in its table of four MSS values
/// (`check_tcp_syn_cookie` and `__cookie_v4_check` in net/ipv4/syncookies.c; seen on 7.3: the ACK
/// of a FIN, after its connection was gone).
const COOKIE_SLACK: u32 = 3;

/// What is known of one that has got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// When it was refused first.
    After { refused_ns: u64 },
    /// It was refused, but that is not remembered or had no record.
    Unknown,
    /// It was in before: a SYN cookie's ACK that comes a second time makes another connection.
    Again,
}

/// Attempts in a generation: about 4 MB.
const MOST: usize = 32_768;

/// Of a listener's attempts that have not got in: what is to be thought of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    /// The next try is overdue: they have given up.
    pub(crate) gave_up: u64,
    /// Of these: a SYN cookie had made the client believe that it was connected, and nothing
    /// on the server remembers it.
    pub(crate) believing: u64,
    /// They may still be trying.
    pub(crate) trying: u64,
    /// They are no longer remembered.
    pub(crate) unknown: u64,
}

/// The longest pause before a client's first retry: RFC 6298 has a second, and this much more
/// for a slow network.
const FIRST_PAUSE_NS: u64 = 3_000_000_000;

impl Refused {
    /// Each pause is at most twice the one before, and so no longer than all that have been,
    /// plus one: a client that has been silent for longer has given up.
    fn may_come_back(&self, now_ns: u64) -> bool {
        let tried_ns = self.last_ns.saturating_sub(self.first_ns);
        now_ns.saturating_sub(self.last_ns) <= 2 * tried_ns + FIRST_PAUSE_NS
    }
}

impl Clients {
    /// Notes a refusal. For a retry: when the attempt was refused first.
    pub(crate) fn refused(&mut self, drop: &Drop, time_ns: u64) -> Option<u64> {
        let mut attempt = Attempt::of(drop.listener, drop.client, drop.isn);
        if drop.cause == Cause::AcceptQueueFullCookie {
            attempt = self.known(attempt).unwrap_or(attempt);
        }
        let refused =
            Refused { first_ns: time_ns, last_ns: time_ns, cause: drop.cause, is_in: false };
        let again = |known: &mut Refused| {
            (known.last_ns, known.cause) = (time_ns, drop.cause);
            Some(known.first_ns)
        };
        if let Some(known) = self.old.get_mut(&attempt) {
            return again(known);
        }
        if self.young.len() >= MOST && !self.young.contains_key(&attempt) {
            self.forgotten += self.old.values().filter(|refused| !refused.is_in).count() as u64;
            // The memory stays: new pages would cost more than all else here.
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
        }
        match self.young.entry(attempt) {
            Entry::Occupied(mut entry) => again(entry.get_mut()),
            Entry::Vacant(entry) => {
                entry.insert(refused);
                None
            }
        }
    }

    /// One has got in.
    pub(crate) fn admitted(&mut self, admitted: &Admitted) -> Admission {
        let attempt = Attempt::of(admitted.listener, admitted.client, admitted.isn);
        let attempt = self.known(attempt).unwrap_or(attempt);
        match self.young.get_mut(&attempt).or_else(|| self.old.get_mut(&attempt)) {
            None => Admission::Unknown,
            Some(refused) if refused.is_in => Admission::Again,
            Some(refused) => {
                refused.is_in = true;
                Admission::After { refused_ns: refused.first_ns }
            }
        }
    }

    /// The attempt that a packet belongs to which has its number, or one a little behind it.
    fn known(&self, attempt: Attempt) -> Option<Attempt> {
        let behind = |by| Attempt { isn: attempt.isn.wrapping_sub(by), ..attempt };
        let mut candidates = (0..=COOKIE_SLACK).map(behind);
        candidates.find(|one| self.young.contains_key(one) || self.old.contains_key(one))
    }

    /// What is to be thought of a listener's attempts that have not got in.
    pub(crate) fn outside(&self, listener: ListenerId, now_ns: u64) -> Outside {
        let mut outside = Outside::default();
        let all = self.young.iter().chain(&self.old);
        let all = all.filter(|(attempt, refused)| attempt.listener == listener.0 && !refused.is_in);
        for (_, refused) in all {
            if refused.may_come_back(now_ns) {
                outside.trying += 1;
            } else {
                outside.gave_up += 1;
                outside.believing += u64::from(refused.cause == Cause::AcceptQueueFullCookie);
            }
        }
        outside
    }

    /// So many were forgotten before it began.
    pub(super) fn forgot(&mut self, count: u64) {
        self.forgotten = count;
    }

    /// Attempts that are no longer remembered: a retry of theirs counts as a client, and that
    /// they got in is not known.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Clients, FIRST_PAUSE_NS, MOST, Outside};
    use crate::event::{Admitted, Drop, ListenerId};
    use backlog_ebpf::cause::Cause;

    const SECOND: u64 = 1_000_000_000;

    fn drop(isn: usize, cause: Cause) -> Drop {
        Drop {
            listener: ListenerId(1),
            cause,
            client: "10.0.0.9:4000".parse().unwrap(),
            isn: u32::try_from(isn).unwrap(),
            depth: 17,
            limit: 16,
            syn_queue: 0,
            cpu: 0,
            trough: 0,
            free_ns: 0,
            accepted_ns: 0,
            so_far: None,
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let mut clients = Clients::default();
        let mut refused =
            |isn: usize| clients.refused(&drop(isn, Cause::AcceptQueueFullSyn), isn as u64);
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

    #[test]
    fn who_has_got_in_is_outside_no_more() {
        let mut clients = Clients::default();
        let refused = drop(1, Cause::AcceptQueueFullSyn);
        clients.refused(&refused, 10);
        clients.refused(&refused, 20);
        let Drop { listener, client, isn, .. } = refused;
        let admitted =
            Admitted { listener, client, isn, depth: 3, trough: 0, free_ns: 0, so_far: None };
        assert_eq!(clients.admitted(&admitted), Admission::After { refused_ns: 10 });
        assert_eq!(clients.admitted(&admitted), Admission::Again);
        assert_eq!(clients.admitted(&Admitted { isn: 9, ..admitted }), Admission::Unknown);
        assert_eq!(clients.outside(listener, 3 * FIRST_PAUSE_NS), Outside::default());
        // Its FIN was refused by one CPU while another let in its ACK.
        assert_eq!(clients.refused(&refused, 30), Some(10));
        assert_eq!(clients.outside(listener, 30), Outside::default());
    }

    #[test]
    fn a_cookie_behind_its_own_ack_is_the_same_client() {
        let mut clients = Clients::default();
        assert_eq!(clients.refused(&drop(7, Cause::AcceptQueueFullSyn), 10), None);
        assert_eq!(clients.refused(&drop(8, Cause::AcceptQueueFullCookie), 20), Some(10));
        assert_eq!(clients.refused(&drop(11, Cause::AcceptQueueFullCookie), 20), None);
        // A SYN's own number is no other's.
        assert_eq!(clients.refused(&drop(9, Cause::AcceptQueueFullSyn), 30), None);
    }

    #[test]
    fn nothing_is_lost_with_those_that_have_got_in() {
        let mut clients = Clients::default();
        for isn in 0..MOST {
            let refused = drop(isn, Cause::AcceptQueueFullSyn);
            clients.refused(&refused, 10);
            let Drop { listener, client, isn, .. } = refused;
            if isn % 2 == 0 {
                clients.admitted(&Admitted {
                    listener,
                    client,
                    isn,
                    depth: 3,
                    trough: 0,
                    free_ns: 0,
                    so_far: None,
                });
            }
        }
        for isn in MOST..=2 * MOST {
            clients.refused(&drop(isn, Cause::AcceptQueueFullSyn), 20);
        }
        assert_eq!(clients.forgotten(), MOST as u64 / 2);
    }

    #[test]
    fn who_has_been_silent_for_too_long_has_given_up() {
        let mut clients = Clients::default();
        for (isn, cause) in [(1, Cause::AcceptQueueFullSyn), (9, Cause::AcceptQueueFullCookie)] {
            for second in [1, 2, 4] {
                clients.refused(&drop(isn, cause), second * SECOND);
            }
        }
        // The next try is due at 8 s, and a little more is allowed for.
        let outside = |second| clients.outside(ListenerId(1), second * SECOND);
        assert_eq!(outside(8), Outside { trying: 2, ..Outside::default() });
        assert_eq!(outside(14), Outside { gave_up: 2, believing: 1, ..Outside::default() });
        assert_eq!(clients.outside(ListenerId(2), 14 * SECOND), Outside::default());
    }
}
