//! Periods without an accept although connections were queued, derived from drops: each record
//! carries the time of the last accept, and of the last arrival that found the queue empty.

use serde::{Deserialize, Serialize};

use crate::event::DropEvent;

/// The stalls of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stalls {
    /// Clients that the limit refused for the first time, as far as their drops were recorded.
    pub clients: u64,
    /// How many of these were refused in a stall.
    pub stalled: u64,
    /// The longest stall: its start, and the last drop in it.
    pub longest: Option<(u64, u64)>,
    /// The period without an accept that the last drop was in.
    last: Option<Still>,
    /// How many of `clients` were refused in it.
    in_last: u64,
    /// When the first and the last packet were refused.
    first_ns: Option<u64>,
    last_ns: Option<u64>,
    /// The limit that refused the last one.
    last_limit: Option<u32>,
}

/// A period without an accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Still {
    accepted_ns: u64,
    since_ns: u64,
}

/// A stall is a period without an accept that is longer than this,
pub const STALL_NS: u64 = 1_000_000_000;

/// and longer than this many of the acceptor's mean pauses.
const PAUSES: f64 = 16.0;

/// The shortest period without an accept that is a stall, for this mean pause of the acceptor.
#[must_use]
pub fn least_ns(pause_ns: Option<f64>) -> f64 {
    (PAUSES * pause_ns.unwrap_or(0.0)).max(STALL_NS as f64)
}

impl Stalls {
    /// Records a packet that the limit refused, at an acceptor with this mean pause; `first`: it is
    /// the client's first one.
    pub fn refused(&mut self, drop: &DropEvent, time_ns: u64, first: bool, pause_ns: Option<f64>) {
        self.clients += u64::from(first);
        self.first_ns.get_or_insert(time_ns);
        self.last_ns = Some(time_ns);
        self.last_limit = Some(drop.limit);
        // Early recordings do not have the time of the last accept.
        let is_known = drop.accepted_ns != 0 || drop.so_far.is_some();
        if drop.depth == 0 || !is_known {
            (self.last, self.in_last) = (None, 0);
            return;
        }
        let accepted_ns = drop.accepted_ns;
        let filled_ns = drop.so_far.map_or(0, |so_far| so_far.filled_ns);
        let known = self.last.filter(|last| last.accepted_ns == accepted_ns);
        let since_ns = match (filled_ns, known) {
            (0, Some(known)) => known.since_ns,
            (0, None) => time_ns,
            (filled_ns, _) => accepted_ns.max(filled_ns),
        };
        self.last = Some(Still { accepted_ns, since_ns });
        self.in_last = known.map_or(0, |_| self.in_last) + u64::from(first);
        let stalled_ns = time_ns.saturating_sub(since_ns);
        if stalled_ns as f64 <= least_ns(pause_ns) {
            return;
        }
        self.stalled += u64::from(first);
        if self.longest.is_none_or(|(since, until)| stalled_ns > until.saturating_sub(since)) {
            self.longest = Some((since_ns, time_ns));
        }
    }

    /// Since when queued connections have not been accepted, if this is still the last accept.
    #[must_use]
    pub fn since(&self, accepted_ns: u64) -> Option<u64> {
        self.last.filter(|last| last.accepted_ns == accepted_ns).map(|last| last.since_ns)
    }

    /// When the limit refused the first packet.
    #[must_use]
    pub fn first_refused_ns(&self) -> Option<u64> {
        self.first_ns
    }

    /// When the limit refused the last packet.
    #[must_use]
    pub fn last_refused_ns(&self) -> Option<u64> {
        self.last_ns
    }

    /// The limit that refused the last packet.
    #[must_use]
    pub fn last_limit(&self) -> Option<u32> {
        self.last_limit
    }

    /// Clients that the limit refused for the first time between the last accept and the last
    /// refusal, as far as their drops were recorded.
    #[must_use]
    pub fn refused_since_last_accept(&self) -> u64 {
        self.in_last
    }

    /// Whether at least half of the refused clients were refused after the last accept. True if no
    /// client was refused.
    #[must_use]
    pub fn explained_by_the_last(&self) -> bool {
        self.in_last * 2 >= self.clients
    }

    /// Whether stalls explain most of the refused clients.
    #[must_use]
    pub fn explain_most(&self) -> bool {
        self.stalled * 2 > self.clients
    }
}
