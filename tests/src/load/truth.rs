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
    /// The granted backlog: the kernel's own limit of the listener at the end of the run, which is
    /// min(asked, net.core.somaxconn). One more connection than this fits.
    pub granted: u32,
    /// The results of the clients.
    pub connects: Connects,
    /// Connections accepted.
    pub accepted: u64,
    /// The accepts of each server thread.
    pub accepts_by_thread: Vec<u64>,
    /// How long connections waited to be accepted.
    pub waits_us: Waits,
    /// Each of these waits, by time of accept; only with `--each-wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Vec<Wait>>,
    /// Clients that gave up without an answer; only with `--each-wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<Vec<Peer>>,
    /// The largest number of connections that were connected and not yet accepted, by the program's
    /// own timestamps. It is not an exact depth: a client that is woken late enters late, and an
    /// accept is stamped after it happened, so scheduling delays may move it either way; and a
    /// client whose final ACK was refused believes that it is connected, and counts.
    pub max_queue: u64,
    /// The number of connections in the queue at the end, which closing drops.
    pub left_in_queue: u64,
    /// The changes of the kernel's counters during the run, for the whole namespace.
    pub kernel: Changes,
    /// The time from the start of the clients until the server was done.
    pub wall_seconds: f64,
}

/// The results of the clients; `tried` is the sum of the five after it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connects {
    /// Connects that were started.
    pub tried: u64,
    /// connect(2) succeeded.
    pub succeeded: u64,
    /// Any other error, for example no free port.
    pub failed: u64,
    /// There was no answer within `--connect-timeout`.
    pub timed_out: u64,
    /// The answer was a reset.
    pub reset: u64,
    /// Non-blocking connects without an answer when `--duration` was over.
    pub pending: u64,
    /// Successful ones that had been reset by the time they were closed.
    pub reset_later: u64,
}

/// Waits in microseconds, from the client's connect(2) to the server's accept(2), both stamped at
/// their return. Percentiles are nearest ranks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Waits {
    /// The number of accepted connections whose client is known.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// The sum.
    pub sum: u64,
    /// The median of the longest possible waits. A client that is not running sees its connection
    /// late; the kernel has queued it earlier.
    pub p50_at_most: u64,
    /// The largest of these.
    pub max_at_most: u64,
}

/// One connection's wait.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wait {
    /// The client's port.
    pub peer_port: u16,
    /// The wait; 0 if the accept returned before the connect did.
    pub wait_us: u64,
    /// `CLOCK_MONOTONIC` at the return of connect(2) (non-blocking: when it
    /// became writable; Fast Open: when the SYN with data was answered).
    pub connected_ns: u64,
    /// The longest possible wait: since the start of its connect.
    pub at_most_us: u64,
    /// `CLOCK_MONOTONIC` at the return of accept(2).
    pub accepted_ns: u64,
}

/// A client's address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// Its address.
    pub addr: String,
    /// Its port.
    pub port: u16,
}
