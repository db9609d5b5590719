//! Folds refused packets into clients: retries carry the same address, port and initial sequence
//! number. It also tracks the outcome of a client ([`Fate`]), final or possible. Bounded; evictions
//! are counted.
//!
//! A client is admitted when the server accepts its connection while the client is still connected.
//! A FIN does not count as a return: the ACK of a SYN cookie stays valid for two minutes, so the
//! FIN of a client that waited in vain creates a connection that the server accepts although the
//! client has gone.

use std::net::SocketAddr;
use std::sync::OnceLock;

use backlog_ebpf::cause::Cause;
// Twice as fast as the standard hasher, and seeded as well: an attacker who floods a listener must
// not be able to cause collisions.
use foldhash::HashMap;

use crate::event::{Admitted, Dequeued, DropEvent, Leaving, ListenerId};

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

/// An attempt without its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    address: u128,
    listener: u32,
    port: u16,
}

impl Attempt {
    fn end(self) -> End {
        let Self { address, listener, isn: _, port } = self;
        End { address, listener, port }
    }
}

/// When an attempt was refused, its last cause, and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    first_ns: u64,
    last_ns: u64,
    cause: Cause,
    /// A packet of it that was refused carried a FIN.
    closed: bool,
    /// The refusal itself is known; else only that it has been queued.
    known: bool,
    state: State,
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the queue.
    Outside,
    /// In the accept queue.
    Queued,
    /// Nothing more will become of it.
    Ended(Fate),
}

/// The final outcome of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server has accepted it.
    Admitted {
        /// The delay since its first refusal; none: unknown.
        delay_ns: Option<u64>,
    },
    /// It has left.
    GaveUp {
        /// It was connected in its own eyes only.
        believing: bool,
    },
    /// The kernel has reset it.
    Reset,
    /// It was accepted, and whether it was still there is not known.
    Unknown,
}

/// The refused attempts, in two generations: when the young one is full, the old one is evicted.
/// Admitted attempts stay: two CPUs may process the ACK and the FIN of a client at the same time,
/// admit one and refuse the other, and report them in either order.
#[derive(Debug, Default)]
pub struct Clients {
    young: HashMap<Attempt, Refused>,
    old: HashMap<Attempt, Refused>,
    /// The number of the last attempt from an address, of the young ones.
    numbers: HashMap<End, u32>,
    /// The same of the old ones.
    old_numbers: HashMap<End, u32>,
    forgotten: u64,
    /// Attempts that were counted may be missing here.
    incomplete: bool,
    /// The attempts of each listener, made when somebody asks and dropped when one changes:
    /// each of thousands of listeners is asked for at the end.
    by_listener: OnceLock<HashMap<u32, Vec<Refused>>>,
}

/// A packet with a SYN cookie counts as the ACK of a handshake up to this many sequence numbers
/// behind it: the kernel takes the difference for another index into its table of four MSS values
/// (`check_tcp_syn_cookie` and `__cookie_v4_check` in net/ipv4/syncookies.c; seen on 7.3: the ACK
/// of a FIN, after its connection was gone).
const COOKIE_SLACK: u32 = 3;

/// A client that believes that it is connected sends its request, and the bare ACK with which it
/// answers a repeated SYN-ACK has the number behind that request. Tracepoints show this number alone
/// (fentry and kprobes read the SYN's). Before its handshake is acknowledged a client sends at most
/// 10 segments, which is less than this, even in the segments of 64 KiB of loopback. The numbers of a
/// new connection from the same port are as far away only within 67 ms: they count in 64 ns.
const SENT_AT_MOST: u32 = 1 << 20;

/// A queued attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was refused before, first this long ago.
    Returned {
        /// From its first refusal to the accept queue.
        delay_ns: u64,
    },
    /// It was refused, but that had no record: it is another client.
    New,
    /// It was refused, but that is not remembered.
    Unknown,
    /// It was queued before: a SYN cookie's ACK that comes a second time makes another
    /// connection.
    Again,
}

/// A refused packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// For a retry: the time of its first refusal.
    pub retry_of_ns: Option<u64>,
    /// The outcome of the client with this packet.
    pub fate: Option<Fate>,
}

/// Attempts in a generation: about 4 MB.
const MOST: usize = 32_768;

/// The likely outcome of a listener's clients that the server has not accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnadmittedClients {
    /// They have left, or their next try is overdue.
    pub gave_up: u64,
    /// Those of them whose last ACK was refused, so they are connected only from their own view.
    pub believing: u64,
    /// The kernel has reset them: refused for good.
    pub reset: u64,
    /// They may still be trying, or wait in the queue.
    pub trying: u64,
    /// Their outcome is unknown.
    pub unknown: u64,
}

/// The longest pause before a client's first retry: RFC 6298 has a second, and this much more
/// for a slow network.
const FIRST_PAUSE_NS: u64 = 3_000_000_000;

impl Refused {
    /// A refusal, or an enqueue whose refusal is unknown.
    fn new(time_ns: u64, cause: Cause, known: bool) -> Self {
        let (first_ns, last_ns, state) = (time_ns, time_ns, State::Outside);
        Self { first_ns, last_ns, cause, closed: false, known, state }
    }

    /// Each pause is at most twice the previous one, so at most one second longer than all previous
    /// ones together: a client that has been silent for longer has given up.
    fn may_come_back(&self, now_ns: u64) -> bool {
        let tried_ns = self.last_ns.saturating_sub(self.first_ns);
        !self.closed && now_ns.saturating_sub(self.last_ns) <= 2 * tried_ns + FIRST_PAUSE_NS
    }

    /// Its last refusal was that of the ACK which ends a handshake: the client is connected in
    /// its own eyes.
    fn believes(&self) -> bool {
        matches!(self.cause, Cause::AcceptQueueFullAck | Cause::AcceptQueueFullCookie)
    }

    fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Another packet of it was refused.
    fn refused(&mut self, drop: &DropEvent, time_ns: u64) -> Option<Fate> {
        (self.last_ns, self.cause) = (time_ns, drop.cause);
        self.closed |= drop.fin;
        (drop.cause == Cause::AcceptQueueFullReset).then(|| self.end(Fate::Reset)).flatten()
    }

    fn end(&mut self, fate: Fate) -> Option<Fate> {
        let before = std::mem::replace(&mut self.state, State::Ended(fate));
        if let State::Ended(_) = before {
            self.state = before;
            return None;
        }
        Some(fate)
    }

    /// The outcome, by the way that its connection left the queue.
    fn fate(&self, leaving: Leaving, time_ns: u64) -> Fate {
        match leaving {
            // It had left, and a repeated ACK created the connection.
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

/// Was it an ACK that was refused, by its cause?
fn is_of_an_ack(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AcceptQueueFullAck | Cause::AcceptQueueFullCookie | Cause::AcceptQueueFullReset
    )
}

impl Clients {
    /// Records a refusal.
    pub fn refused(&mut self, drop: &DropEvent, time_ns: u64) -> Known {
        self.by_listener.take();
        let mut attempt = Attempt::of(drop.listener, drop.client, drop.isn);
        if drop.cause == Cause::AcceptQueueFullCookie {
            attempt = self.known(attempt).unwrap_or(attempt);
        }
        if is_of_an_ack(drop.cause) {
            attempt = self.behind(attempt).unwrap_or(attempt);
        }
        if let Some(known) = self.get(attempt) {
            let retry_of_ns = Some(known.first_ns);
            return Known { retry_of_ns, fate: known.refused(drop, time_ns) };
        }
        let mut refused = Refused::new(time_ns, drop.cause, true);
        let fate = refused.refused(drop, time_ns);
        self.insert(attempt, refused);
        Known { retry_of_ns: None, fate }
    }

    /// An attempt was queued. If no record shows how it leaves the queue, it counts as accepted.
    pub fn admitted(&mut self, admitted: &Admitted, time_ns: u64) -> (Admission, Option<Fate>) {
        self.by_listener.take();
        let attempt = Attempt::of(admitted.listener, admitted.client, admitted.isn);
        let attempt = self.known(attempt).unwrap_or(attempt);
        let unremembered = if self.incomplete { Admission::Unknown } else { Admission::New };
        let admission = match self.get(attempt) {
            Some(Refused { state: State::Outside, first_ns, .. }) => {
                Admission::Returned { delay_ns: time_ns.saturating_sub(*first_ns) }
            }
            Some(_) => return (Admission::Again, None),
            None => unremembered,
        };
        if !matches!(admission, Admission::Returned { .. }) {
            self.insert(attempt, Refused::new(time_ns, Cause::Other, false));
        }
        let Some(refused) = self.get(attempt) else { return (admission, None) };
        refused.state = State::Queued;
        let fate = if admitted.followed {
            None
        } else {
            let fate = refused.fate(Leaving::Accepted, time_ns);
            refused.end(fate)
        };
        (admission, fate)
    }

    /// One has left the queue.
    pub fn dequeued(&mut self, dequeued: &Dequeued, time_ns: u64) -> Option<Fate> {
        self.by_listener.take();
        let attempt = Attempt::of(dequeued.listener, dequeued.client, dequeued.isn);
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
            // The memory stays: new pages would cost more than all else here.
            self.old.clear();
            self.old_numbers.clear();
            std::mem::swap(&mut self.young, &mut self.old);
            std::mem::swap(&mut self.numbers, &mut self.old_numbers);
        }
        self.young.insert(attempt, refused);
        self.numbers.insert(attempt.end(), attempt.isn);
    }

    /// The attempt that an ACK belongs to whose number is that of what the client has sent since.
    fn behind(&self, attempt: Attempt) -> Option<Attempt> {
        if self.has(&attempt) {
            return Some(attempt);
        }
        let end = attempt.end();
        let isn = *self.numbers.get(&end).or_else(|| self.old_numbers.get(&end))?;
        let before = Attempt { isn, ..attempt };
        (attempt.isn.wrapping_sub(isn) <= SENT_AT_MOST && self.has(&before)).then_some(before)
    }

    /// The attempt that a packet belongs to which has its number, or one a little behind it.
    fn known(&self, attempt: Attempt) -> Option<Attempt> {
        let behind = |by| Attempt { isn: attempt.isn.wrapping_sub(by), ..attempt };
        let mut candidates = (0..=COOKIE_SLACK).map(behind);
        candidates.find(|one| self.has(one))
    }

    fn has(&self, attempt: &Attempt) -> bool {
        self.young.contains_key(attempt) || self.old.contains_key(attempt)
    }

    /// The likely outcome of a listener's unsettled attempts, with this many connections in its
    /// queue.
    #[must_use]
    pub fn unadmitted(&self, listener: ListenerId, depth: u32, now_ns: u64) -> UnadmittedClients {
        let mut unadmitted = UnadmittedClients::default();
        let mut queued = 0;
        let all = self.by_listener.get_or_init(|| self.listed());
        for refused in all.get(&listener.0).into_iter().flatten() {
            match refused.state {
                State::Ended(_) => {}
                // It has left, and only a packet of it that came late is in the queue.
                State::Queued if refused.closed => {
                    unadmitted.gave_up += 1;
                    unadmitted.believing += 1;
                }
                State::Queued => queued += 1,
                State::Outside if refused.may_come_back(now_ns) => unadmitted.trying += 1,
                State::Outside => {
                    unadmitted.gave_up += 1;
                    unadmitted.believing += u64::from(refused.believes());
                }
            }
        }
        // The others have left the queue, and the record of it was lost.
        let waiting = u64::from(depth).min(queued);
        unadmitted.trying += waiting;
        unadmitted.unknown = queued - waiting;
        unadmitted
    }

    fn listed(&self) -> HashMap<u32, Vec<Refused>> {
        let mut all: HashMap<u32, Vec<Refused>> = HashMap::default();
        for (attempt, refused) in self.young.iter().chain(&self.old) {
            all.entry(attempt.listener).or_default().push(*refused);
        }
        all
    }

    /// This many were evicted before it began.
    pub(super) fn forgot(&mut self, count: u64) {
        self.forgotten = count;
        self.incomplete = true;
    }

    /// Evicted attempts: a retry of theirs counts as a client, and their outcome is unknown.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests;
