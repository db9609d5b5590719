//! The length of a SYN queue with room for the SYNs that the real one refused.
//!
//! A request leaves the SYN queue one round trip after it arrived. That time is not measured, but
//! the requests queued when a SYN is refused complete before that client's would have: while fewer
//! connections have arrived since, it would still be in the queue.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::DropEvent;

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SynQueue {
    /// Refused SYNs whose requests would not have completed yet.
    missing: VecDeque<Missing>,
    /// The longest simulated queue; zero: nobody was refused.
    pub needed: u64,
    /// The number of times that it began to be too short: groups of refused SYNs in flight at the
    /// same time.
    pub groups: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    refused_ns: u64,
    /// It would have completed when this many connections had arrived, if known.
    until: Option<u32>,
}

/// No round trip is longer: a client sends its SYN again after a second.
const LONGEST_NS: u64 = 1_000_000_000;

/// Those that are kept.
const MOST: usize = 1 << 16;

impl SynQueue {
    /// A client's first SYN was refused because the SYN queue was full.
    pub(super) fn refused(&mut self, drop: &DropEvent, time_ns: u64) {
        let arrived = drop.so_far.as_ref().map(|so_far| so_far.arrived);
        let completed = |one: &Missing| {
            let by_count = one.until.zip(arrived);
            // Half of the numbers are behind, the others ahead: the count wraps around.
            let by_count = by_count.is_some_and(|(until, now)| now.wrapping_sub(until) < 1 << 31);
            by_count || time_ns.saturating_sub(one.refused_ns) > LONGEST_NS
        };
        while self.missing.front().is_some_and(completed) {
            self.missing.pop_front();
        }
        self.groups += u64::from(self.missing.is_empty());
        if self.missing.len() < MOST {
            let until = arrived.map(|arrived| arrived.wrapping_add(drop.syn_queue));
            self.missing.push_back(Missing { refused_ns: time_ns, until });
        }
        let needed = u64::from(drop.syn_queue) + self.missing.len() as u64;
        self.needed = self.needed.max(needed);
    }
}
