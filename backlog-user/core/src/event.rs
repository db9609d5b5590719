//! What happened, owned and typed: the form that the model reads and that a
//! recording keeps. Times are `CLOCK_MONOTONIC` nanoseconds.

mod accepting;
mod count;
pub mod form;
mod listener;
mod netns;
mod refusal;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::counter::{Range, Reading};
use crate::settings::Settings;
pub use accepting::{AcceptError, AcceptErrors, Acceptor, CpuLimit, Doing, State};
pub use count::{Accepts, Count, LastAccept, Memory, Moves};
pub use listener::{Call, Caller, Closed, Identity, Limit, Listener, ListenerId};
pub use netns::{Netns, low};
pub use refusal::{Admitted, Dequeued, DropEvent, Leaving, SoFar};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A listener was found, or opened, or its limit has changed.
    Listener(Listener),
    /// A listener was closed, with this many connections in its queue.
    Closed(Closed),
    /// Another `listen()` was called, or a limit has changed.
    Limit(Limit),
    /// The owner of a listener was looked up.
    Identity {
        /// Which.
        listener: ListenerId,
        /// The result.
        identity: Identity,
    },
    /// A packet was refused.
    Drop(DropEvent),
    /// A client that had been refused has been queued.
    Admitted(Admitted),
    /// It has left the queue.
    Dequeued(Dequeued),
    /// The state of the acceptors when drops began.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed, or none has while a probe watched for that.
    AcceptErrors(Box<AcceptErrors>),
    /// The kernel memory of a queued connection was read.
    Memory(Memory),
    /// The totals of one listener were read.
    Count {
        /// Which.
        listener: ListenerId,
        /// The values.
        count: Box<Count>,
    },
    /// The kernel was asked how deep a queue is.
    #[serde(rename = "level")]
    DepthSample {
        /// Whose.
        listener: ListenerId,
        /// How deep.
        depth: u32,
        /// The granted backlog.
        limit: u32,
    },
    /// The settings of a network namespace were read.
    Namespace {
        /// Which.
        netns: Netns,
        /// The settings.
        settings: Settings,
    },
    /// A network namespace is reconciled only from here on: earlier counts are unknown.
    Baseline {
        /// Which.
        netns: Netns,
    },
    /// A network namespace has ended, or has no process any more: it is not reconciled again.
    Ended {
        /// Which.
        netns: Netns,
    },
    /// The kernel's own counters of a network namespace were read.
    Counters {
        /// Which.
        netns: Netns,
        /// The change of each since the start.
        #[serde(with = "form::reading")]
        moved: Box<Reading>,
    },
    /// Connections still queued at the end were looked up in the kernel's tables.
    Queued {
        /// Where.
        listener: ListenerId,
        /// Since when the oldest of them has been queued.
        since_ns: u64,
        /// It was queued before the run began: `since_ns` is when that was.
        #[serde(default, skip_serializing_if = "form::is_zero")]
        at_least: bool,
    },
    /// A listener's `sk_drops` was read.
    SkDrops {
        /// Which.
        listener: ListenerId,
        /// Its change since the start.
        moved: Range,
    },
}

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// What.
    pub what: What,
}

/// An address as people know it: an IPv4 client of a `[::]` listener is IPv4.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
