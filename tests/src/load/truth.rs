//! The truth of a run as JSON: written by `backlog-load`, read by the tests.
//! Fields may be added; none changes its meaning.

use serde::{Deserialize, Serialize};

use crate::counters::Changes;

/// Everything the load knows about its own run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Truth {
    /// The port listened on.
    pub port: u16,
    /// The backlog asked for.
    pub backlog: i32,
    /// The backlog granted: the kernel's own limit of the listener, which is
    /// min(asked, net.core.somaxconn), at the end of the run. One more than
    /// this fits.
    pub granted: u32,
    /// What became of the clients.
    pub connects: Connects,
    /// Connections accepted.
    pub accepted: u64,
    /// The same for each server thread.
    pub accepts_by_thread: Vec<u64>,
    /// How long connections waited to be accepted.
    pub waits_us: Waits,
    /// Each of these waits, by time of accept; with `--each-wait` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Vec<Wait>>,
    /// Clients that gave up without an answer; with `--each-wait` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<Vec<Peer>>,
    /// The largest number of connections that were connected and not yet
    /// accepted, by the program's own stamps. No exact depth: a client that is
    /// woken late enters late and an accept is stamped after it happened, so
    /// it may be off either way by what the scheduler delays; and a client
    /// whose final ACK was refused believes it is connected and counts.
    pub max_queue: u64,
    /// How many the kernel held in the queue at the end, dropped by closing.
    pub left_in_queue: u64,
    /// The change of the kernel's counters over the run, whole namespace.
    pub kernel: Changes,
    /// From the start of the clients until the server was done.
    pub wall_seconds: f64,
}

/// What became of the clients; `tried` is the sum of the five after it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connects {
    /// Begun.
    pub tried: u64,
    /// connect(2) said yes.
    pub succeeded: u64,
    /// Any error not named below: no port left, say.
    pub failed: u64,
    /// No answer within `--connect-timeout`.
    pub timed_out: u64,
    /// Answered by a reset.
    pub reset: u64,
    /// Non-blocking ones without an answer when `--duration` was over.
    pub pending: u64,
    /// Those of the successful ones that were reset by the time they were closed.
    pub reset_later: u64,
}

/// Waits in microseconds, from the client's connect(2) to the server's
/// accept(2), both stamped at their return. Percentiles are the nearest rank.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Waits {
    /// How many: accepted connections whose client is known.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// All together.
    pub sum: u64,
    /// The median of the longest that each can have waited. A client sees its
    /// connection late when it does not run; the kernel queued it in between.
    pub p50_at_most: u64,
    /// The largest of them.
    pub max_at_most: u64,
}

/// One connection's wait.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wait {
    /// The client's port.
    pub peer_port: u16,
    /// The wait; 0 when the accept returned before the connect did.
    pub wait_us: u64,
    /// `CLOCK_MONOTONIC` at the return of connect(2) (non-blocking: when it
    /// became writable; Fast Open: when the SYN with data was answered).
    pub connected_ns: u64,
    /// The longest that it can have waited: from the start of its connect.
    pub at_most_us: u64,
    /// `CLOCK_MONOTONIC` at the return of accept(2).
    pub accepted_ns: u64,
}

/// A client's own end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// Its address.
    pub addr: String,
    /// Its port.
    pub port: u16,
}
