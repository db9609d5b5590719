//! Combines refused packets into clients: retries have the same address, port and initial sequence
//! number. It also tracks the outcome of each client ([`Fate`]). Memory is bounded; evictions are
//! counted.
//!
//! A client is admitted when the server accepts its connection while the client is still connected.
//! A FIN does not count as a return: the ACK of a SYN cookie stays valid for two minutes, so the
//! FIN of a client that has waited in vain creates a connection, which the server accepts although
//! the client has gone.

mod unadmitted;

use std::net::SocketAddr;
use std::sync::OnceLock;

use backlog_ebpf::cause::Cause;
// Twice as fast as the standard hasher, and seeded as well: an attacker who floods a listener must
// not be able to cause collisions.
use foldhash::HashMap;

pub use self::unadmitted::UnadmittedClients;
use crate::event::{Admitted, Dequeued, DropEvent, Leaving, ListenerId};

/// One connection attempt, packed so that it is hashed at once. It does not include the listener: a
/// retry may reach another member of a group, or the successor of the listener that refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    address: u128,
    isn: u32,
    port: u16,
}

impl Attempt {
    fn of(client: SocketAddr, isn: u32) -> Self {
        let (address, port) = match client {
            SocketAddr::V4(client) => (client.ip().to_ipv6_mapped().to_bits(), client.port()),
            SocketAddr::V6(client) => (client.ip().to_bits(), client.port()),
        };
        Self { address, isn, port }
    }
}

/// The client's end of an attempt, without its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    address: u128,
    port: u16,
}

impl Attempt {
    fn end(self) -> End {
        let Self { address, isn: _, port } = self;
        End { address, port }
    }
}

/// When an attempt was refused, its last cause, and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    /// The listener that refused it first, or that queued it if that is unknown.
    listener: ListenerId,
    first_ns: u64,
    last_ns: u64,
    cause: Cause,
    /// A refused packet of it carried a FIN.
    closed: bool,
    /// Its first refusal is known; otherwise only a retry, or its enqueue.
    known: bool,
    state: State,
}

/// The state of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the queue.
    Outside,
    /// In the accept queue.
    Queued,
    /// Its outcome is final.
    Ended(Fate),
}

/// The final outcome of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server accepted it.
    Admitted {
        /// The delay since its first refusal; none: unknown.
        delay_ns: Option<u64>,
    },
    /// The client left.
    GaveUp {
        /// It was connected only in its own view.
        believing: bool,
    },
    /// The kernel reset it.
    Reset,
    /// It was accepted, but it is unknown whether the client was still there.
    Unknown,
}

/// The final outcome of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The listener that refused it.
    pub listener: ListenerId,
    /// The outcome.
    pub fate: Fate,
}

/// The refused attempts, in two generations: when the young one is full, the old one is evicted.
/// Admitted attempts stay: two CPUs may process the ACK and the FIN of a client at the same time,
/// admit one and refuse the other, and report them in either order.
#[derive(Debug, Default)]
pub struct Clients {
    young: HashMap<Attempt, Refused>,
    old: HashMap<Attempt, Refused>,
    /// The sequence number of the last young attempt from each address and port.
    numbers: HashMap<End, u32>,
    /// The same for the old attempts.
    old_numbers: HashMap<End, u32>,
    forgotten: u64,
    /// Whether attempts that were counted may be missing here.
    incomplete: bool,
    /// The attempts of each listener. Built when first needed and dropped at any change: at the
    /// end, thousands of listeners need theirs.
    by_listener: OnceLock<HashMap<u32, Vec<Refused>>>,
}

/// A packet with a SYN cookie counts as the ACK of a handshake if it is up to this many sequence
/// numbers after it: the kernel takes the difference as another index into its table of four MSS
/// values (`check_tcp_syn_cookie` and `__cookie_v4_check` in net/ipv4/syncookies.c; seen on 7.3:
/// the ACK of a FIN, after its connection was gone).
const COOKIE_SLACK: u32 = 3;

/// A client that believes that it is connected sends its request. Its bare ACK of a repeated
/// SYN-ACK then has the sequence number after that request, and tracepoints show only this number
/// (fentry and kprobes read that of the SYN). Before its handshake is acknowledged, a client sends
/// at most 10 segments, which is less than this, even with the 64 KiB segments of loopback. A new
/// connection from the same port is as close only within 67 ms: initial sequence numbers increase
/// every 64 ns.
const SENT_AT_MOST: u32 = 1 << 20;

/// A queued attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was refused before.
    Returned {
        /// From its first refusal to the enqueue.
        delay_ns: u64,
    },
    /// Another listener refused it: one of the same group, or one before this listener was opened.
    Elsewhere,
    /// It was refused without a record: it counts as a new client.
    New,
    /// It was refused, but its attempt may have been evicted.
    Unknown,
    /// It was queued before: the ACK of a SYN cookie that arrives a second time creates another
    /// connection.
    Again,
}

/// What is known about a refused packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// For a retry whose first refusal is known: the time of that refusal.
    pub retry_of_ns: Option<u64>,
    /// It is the first refused packet of its client.
    pub first: bool,
    /// The outcome of the client, if this packet settles it.
    pub settled: Option<Settled>,
}

/// Attempts in a generation: about 4 MB.
const MOST: usize = 32_768;

/// The longest pause before a client's first retry: one second by RFC 6298, and two more for a slow
/// network.
const FIRST_PAUSE_NS: u64 = 3_000_000_000;

impl Refused {
    /// A refusal, or an enqueue whose refusal is unknown.
    fn new(listener: ListenerId, time_ns: u64, cause: Cause, known: bool) -> Self {
        let (first_ns, last_ns, state) = (time_ns, time_ns, State::Outside);
        Self { listener, first_ns, last_ns, cause, closed: false, known, state }
    }

    /// Whether the client may still retry. Each pause is at most twice the previous one, so it is
    /// at most one second longer than all previous ones together: a client that has been silent for
    /// longer has given up.
    fn may_come_back(&self, now_ns: u64) -> bool {
        let tried_ns = self.last_ns.saturating_sub(self.first_ns);
        let pause_ns = tried_ns.saturating_mul(2).saturating_add(FIRST_PAUSE_NS);
        !self.closed && now_ns.saturating_sub(self.last_ns) <= pause_ns
    }

    /// Whether its last refused packet was the ACK that ends a handshake, so that the client
    /// believes that it is connected.
    fn believes(&self) -> bool {
        matches!(self.cause, Cause::AcceptQueueFullAck | Cause::AcceptQueueFullCookie)
    }

    fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Records another refused packet.
    fn refused(&mut self, drop: &DropEvent, time_ns: u64) -> Option<Settled> {
        (self.last_ns, self.cause) = (time_ns, drop.cause);
        self.closed |= drop.fin;
        (drop.cause == Cause::AcceptQueueFullReset).then(|| self.end(Fate::Reset)).flatten()
    }

    fn end(&mut self, fate: Fate) -> Option<Settled> {
        let before = std::mem::replace(&mut self.state, State::Ended(fate));
        if let State::Ended(_) = before {
            self.state = before;
            return None;
        }
        Some(Settled { listener: self.listener, fate })
    }

    /// The outcome, given how its connection left the queue.
    fn fate(&self, leaving: Leaving, time_ns: u64) -> Fate {
        match leaving {
            // The client had left, and a repeated ACK created the connection.
            Leaving::Accepted | Leaving::Fin | Leaving::Killed if self.closed => {
                Fate::GaveUp { believing: true }
            }
            Leaving::AcceptedWithData if self.closed => Fate::Unknown,
            Leaving::Accepted | Leaving::AcceptedWithData => {
                let delay_ns = time_ns.saturating_sub(self.first_ns);
                Fate::Admitted { delay_ns: self.known.then_some(delay_ns) }
            }
            Leaving::Fin => Fate::GaveUp { believing: self.believes() },
            Leaving::Reset => Fate::GaveUp { believing: false },
            Leaving::Killed => Fate::Reset,
            Leaving::FinAfterData | Leaving::Unseen => Fate::Unknown,
        }
    }
}

/// Whether the refused packet was an ACK.
fn is_of_an_ack(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AcceptQueueFullAck | Cause::AcceptQueueFullCookie | Cause::AcceptQueueFullReset
    )
}

impl Clients {
    /// Records a refusal. `early`: the client may have been refused before the run started, which
    /// nothing shows.
    pub fn refused(&mut self, drop: &DropEvent, time_ns: u64, early: bool) -> Known {
        self.by_listener.take();
        let mut attempt = Attempt::of(drop.client, drop.isn);
        if drop.cause == Cause::AcceptQueueFullCookie {
            attempt = self.known(attempt).unwrap_or(attempt);
        }
        if is_of_an_ack(drop.cause) {
            attempt = self.behind(attempt).unwrap_or(attempt);
        }
        if let Some(known) = self.get(attempt) {
            let retry_of_ns = known.known.then_some(known.first_ns);
            return Known { retry_of_ns, first: false, settled: known.refused(drop, time_ns) };
        }
        // The programs know whether a client was refused before without a record.
        let first = !drop.retry;
        let mut refused = Refused::new(drop.listener, time_ns, drop.cause, first && !early);
        let settled = refused.refused(drop, time_ns);
        self.insert(attempt, refused);
        Known { retry_of_ns: None, first, settled }
    }

    /// An attempt was queued. If no record shows how it leaves the queue, it counts as accepted.
    pub fn admitted(&mut self, admitted: &Admitted, time_ns: u64) -> (Admission, Option<Settled>) {
        self.by_listener.take();
        let attempt = Attempt::of(admitted.client, admitted.isn);
        let attempt = self.known(attempt).unwrap_or(attempt);
        let unremembered = if self.incomplete { Admission::Unknown } else { Admission::New };
        let admission = match self.get(attempt) {
            Some(Refused { state: State::Outside, listener, .. })
                if *listener != admitted.listener =>
            {
                Admission::Elsewhere
            }
            Some(Refused { state: State::Outside, first_ns, .. }) => {
                Admission::Returned { delay_ns: time_ns.saturating_sub(*first_ns) }
            }
            Some(_) => return (Admission::Again, None),
            None => unremembered,
        };
        if matches!(admission, Admission::New | Admission::Unknown) {
            self.insert(attempt, Refused::new(admitted.listener, time_ns, Cause::Other, false));
        }
        let Some(refused) = self.get(attempt) else { return (admission, None) };
        refused.state = State::Queued;
        let settled = if admitted.followed {
            None
        } else {
            let fate = refused.fate(Leaving::Accepted, time_ns);
            refused.end(fate)
        };
        (admission, settled)
    }

    /// Records that a connection has left the queue.
    pub fn dequeued(&mut self, dequeued: &Dequeued, time_ns: u64) -> Option<Settled> {
        self.by_listener.take();
        let attempt = Attempt::of(dequeued.client, dequeued.isn);
        let attempt = self.known(attempt)?;
        let refused = self.get(attempt)?;
        let fate = refused.fate(dequeued.leaving, time_ns);
        refused.end(fate)
    }

    fn get(&mut self, attempt: Attempt) -> Option<&mut Refused> {
        self.old.get_mut(&attempt).or_else(|| self.young.get_mut(&attempt))
    }

    fn insert(&mut self, attempt: Attempt, refused: Refused) {
        if self.young.len() >= MOST {
            self.forgotten +=
                self.old.values().filter(|refused| !refused.is_ended()).count() as u64;
            self.incomplete |= !self.old.is_empty();
            // The memory is reused: allocating new pages would cost more than all else here.
            self.old.clear();
            self.old_numbers.clear();
            std::mem::swap(&mut self.young, &mut self.old);
            std::mem::swap(&mut self.numbers, &mut self.old_numbers);
        }
        self.young.insert(attempt, refused);
        self.numbers.insert(attempt.end(), attempt.isn);
    }

    /// The attempt of an ACK, whose sequence number includes what the client has sent since.
    fn behind(&self, attempt: Attempt) -> Option<Attempt> {
        if self.has(&attempt) {
            return Some(attempt);
        }
        let end = attempt.end();
        let isn = *self.numbers.get(&end).or_else(|| self.old_numbers.get(&end))?;
        let before = Attempt { isn, ..attempt };
        (attempt.isn.wrapping_sub(isn) <= SENT_AT_MOST && self.has(&before)).then_some(before)
    }

    /// The attempt of a packet with its sequence number, or one slightly after it.
    fn known(&self, attempt: Attempt) -> Option<Attempt> {
        let behind = |by| Attempt { isn: attempt.isn.wrapping_sub(by), ..attempt };
        let mut candidates = (0..=COOKIE_SLACK).map(behind);
        candidates.find(|one| self.has(one))
    }

    fn has(&self, attempt: &Attempt) -> bool {
        self.young.contains_key(attempt) || self.old.contains_key(attempt)
    }

    /// Sets the number of attempts that were evicted before the recording starts.
    pub(super) fn forgot(&mut self, count: u64) {
        self.forgotten = count;
        self.incomplete = true;
    }

    /// The number of evicted attempts: a retry of theirs counts as a new client, and their outcome
    /// is unknown.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests;
