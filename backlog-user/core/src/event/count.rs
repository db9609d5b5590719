//! The programs' counts for a listener.

use backlog_ebpf::totals::Totals;
use serde::{Deserialize, Serialize};

use super::{Caller, form};

/// The kernel's totals of one listener, summed over all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The sums. `accepted` includes `accepts_without_wait`; `enqueued` and `accepted` include
    /// `enqueue_missed`; `peak` is the largest one, with its time.
    #[serde(with = "form::Sums")]
    pub totals: Totals,
    /// The deepest queue since the last count.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub recent_peak: u32,
    /// The longest wait of a connection accepted since then.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub recent_longest_ns: u64,
    /// Accepts since the last count, by the bucket of their wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::waits")]
    pub waits: Moves,
    /// Arrivals since the last count, by the bucket of the resulting depth.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::depths")]
    pub depths: Moves,
    /// The last accept whose thread is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accept: Option<LastAccept>,
    /// Cumulative idle time of the acceptor before arrivals, nanoseconds; only differences are
    /// meaningful.
    #[serde(default, alias = "idle_ns", skip_serializing_if = "form::is_zero")]
    pub free_ns: u64,
    /// Time for which the queue was empty before arrivals, since the last count.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle_moved_ns: u64,
    /// Time of the last accept; zero: none.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub accepted_ns: u64,
    /// Accepts since the last count of connections that were already waiting at the previous
    /// accept.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub paced: u64,
    /// The pauses before them, nanoseconds.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub paced_ns: u64,
    /// The stalls, which `paced_ns` does not include, nanoseconds.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub stalled_ns: u64,
    /// Time of the last arrival that found the queue empty; zero: unknown.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub filled_ns: u64,
    /// Accepts since the last count, by thread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Accepts>,
    /// Accepts by threads that found no place in the kernel's table.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub other_accepts: u64,
}

/// Changes of the buckets: index and difference.
pub type Moves = Vec<(u32, u32)>;

/// The accepts of one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepts {
    /// Its process, with the name of the thread.
    pub process: Caller,
    /// The thread.
    pub tid: u32,
    /// The number of accepts.
    pub count: u64,
}

/// An accept, and the thread that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAccept {
    /// Its time.
    pub time_ns: u64,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
}

/// Kernel memory of a queued connection in bytes, without the data that its client has sent; none:
/// it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// At an IPv4 listener.
    pub ipv4: Option<u64>,
    /// At an IPv6 listener.
    pub ipv6: Option<u64>,
}
