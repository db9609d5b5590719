//! Simulates a SYN queue with room for the SYNs that the real one refused.
//!
//! A request leaves the SYN queue one round trip after it arrived. This time is not measured, but
//! the requests that are queued when a SYN is refused complete before that client's request would
//! have: until that many connections have arrived, it would still be in the queue.
//!
//! Refused clients retry and take room in the real queue that they would not have taken in a longer
//! one. A client that is admitted after its first retry gives an upper bound for the round trip,
//! and so for how long it had been in the queue: if that includes the time when the queue was
//! longest, the client is subtracted there.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::DropEvent;
use crate::event::form::is_zero;

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SynQueue {
    /// Refused SYNs whose requests would not have completed yet.
    missing: VecDeque<Missing>,
    /// The longest simulated queue before those in `recent`; zero: no client was refused.
    needed: u64,
    /// The longest simulated queue of each of the last groups.
    recent: VecDeque<Peak>,
    /// The shortest time from a client's first retry to the accept queue.
    round_trip_ns: Option<u64>,
    /// How often the queue became too short: the number of groups of refused SYNs in flight at the
    /// same time.
    pub groups: u64,
    /// Clients whose first SYN was refused because the queue was full.
    #[serde(skip_serializing_if = "is_zero")]
    firsts: Firsts,
    /// Later packets of such clients, whether they were refused again or got in.
    #[serde(skip_serializing_if = "is_zero")]
    later: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    refused_ns: u64,
    /// The number of arrivals at which its request would have completed, if known.
    until: Option<u32>,
}

/// The time when the simulated queue of a group was longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Peak {
    time_ns: u64,
    length: u64,
    /// How many of these are retries of clients refused before.
    retries: u64,
}

/// Clients by the age of their first refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Firsts {
    /// Clients that have had time for a retry since.
    old: u64,
    /// Clients of the previous period, and of this one.
    last: u64,
    now: u64,
    /// When this period started.
    since_ns: u64,
}

impl Firsts {
    /// The length of a period. A client retries its SYN after half of it.
    const PERIOD_NS: u64 = 2 * RETRY_NS;

    /// Adds this many clients, possibly none, at this time.
    fn at(mut self, time_ns: u64, more: u64) -> Self {
        let elapsed_ns = time_ns.saturating_sub(self.since_ns);
        if elapsed_ns > Self::PERIOD_NS {
            let is_next = elapsed_ns <= 2 * Self::PERIOD_NS;
            self.old += self.last + if is_next { 0 } else { self.now };
            self.last = if is_next { self.now } else { 0 };
            (self.now, self.since_ns) = (0, time_ns);
        }
        self.now += more;
        self
    }
}

impl Peak {
    fn without_retries(&self) -> u64 {
        self.length.saturating_sub(self.retries)
    }
}

/// A client retries its SYN after this time (`TCP_TIMEOUT_INIT`), and again after twice this time.
const RETRY_NS: u64 = 1_000_000_000;

/// The longest round trip: a client retries its SYN after a second.
const LONGEST_NS: u64 = RETRY_NS;

/// Fewer refused clients are not a flood.
const FLOOD: u64 = 100;

/// The most missing requests that are kept.
const MOST: usize = 1 << 16;

/// The most peaks of the last second that are kept: there are at most as many as recorded drops.
const MOST_RECENT: usize = 4096;

impl SynQueue {
    /// Records that a client's SYN was refused again.
    pub(super) fn refused_again(&mut self) {
        self.later += 1;
    }

    /// Whether few of the refused clients ever sent another SYN, although they had time for it. A
    /// client's kernel does so after a second.
    #[must_use]
    pub fn is_flood(&self, end_ns: u64) -> bool {
        let old = self.firsts.at(end_ns, 0).old;
        old >= FLOOD && self.later * 2 < old
    }

    /// Records that a client's first SYN was refused because the SYN queue was full.
    pub(super) fn refused(&mut self, drop: &DropEvent, time_ns: u64) {
        self.firsts = self.firsts.at(time_ns, 1);
        let arrived = drop.so_far.as_ref().map(|so_far| so_far.arrived);
        let completed = |one: &Missing| {
            let by_count = one.until.zip(arrived);
            // The count wraps around: half of all numbers count as earlier, the others as later.
            let by_count = by_count.is_some_and(|(until, now)| now.wrapping_sub(until) < 1 << 31);
            by_count || time_ns.saturating_sub(one.refused_ns) > LONGEST_NS
        };
        while self.missing.front().is_some_and(completed) {
            self.missing.pop_front();
        }
        let is_new_group = self.missing.is_empty();
        self.groups += u64::from(is_new_group);
        if self.missing.len() < MOST {
            let until = arrived.map(|arrived| arrived.wrapping_add(drop.syn_queue));
            self.missing.push_back(Missing { refused_ns: time_ns, until });
        }
        let length = u64::from(drop.syn_queue) + self.missing.len() as u64;
        self.reached(Peak { time_ns, length, retries: 0 }, is_new_group);
    }

    fn reached(&mut self, peak: Peak, is_new_group: bool) {
        match self.recent.back_mut() {
            Some(last) if !is_new_group && last.length >= peak.length => return,
            Some(last) if !is_new_group => *last = peak,
            _ => self.recent.push_back(peak),
        }
        let is_over = |one: &Peak| peak.time_ns.saturating_sub(one.time_ns) > LONGEST_NS;
        while let Some(over) = self.recent.pop_front_if(|one| is_over(one)) {
            self.needed = self.needed.max(over.without_retries());
        }
        self.bound();
    }

    /// Enforces the bound: a recording may have more.
    pub(in crate::model) fn bound(&mut self) {
        self.missing.truncate(MOST);
        let surplus = self.recent.len().saturating_sub(MOST_RECENT);
        for over in self.recent.drain(..surplus) {
            self.needed = self.needed.max(over.without_retries());
        }
    }

    /// Records that a client, first refused `delay_ns` ago, has left the SYN queue for the accept
    /// queue.
    pub(in crate::model) fn admitted(&mut self, time_ns: u64, delay_ns: u64) {
        self.later += 1;
        if (RETRY_NS..2 * RETRY_NS).contains(&delay_ns) {
            let round_trip_ns = delay_ns - RETRY_NS;
            let least = self.round_trip_ns.map_or(round_trip_ns, |least| least.min(round_trip_ns));
            self.round_trip_ns = Some(least);
        }
        let Some(round_trip_ns) = self.round_trip_ns else { return };
        let in_queue = time_ns.saturating_sub(round_trip_ns)..time_ns;
        for peak in &mut self.recent {
            peak.retries += u64::from(in_queue.contains(&peak.time_ns));
        }
    }

    /// The longest that it would have been; zero: no client was refused.
    #[must_use]
    pub fn needed(&self) -> u64 {
        let recent = self.recent.iter().map(Peak::without_retries);
        recent.fold(self.needed, u64::max)
    }
}
