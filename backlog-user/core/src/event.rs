//! Events, owned and typed: the model reads them and a recording stores them. Times are
//! `CLOCK_MONOTONIC` nanoseconds.

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
    /// A listener was found or opened, or its limit has changed.
    Listener(Listener),
    /// A listener was closed, with this many connections in its queue.
    Closed(Closed),
    /// Another `listen()` was called, or a limit has changed.
    Limit(Limit),
    /// The owner of a listener was looked up.
    Identity {
        /// The listener.
        listener: ListenerId,
        /// The result.
        identity: Identity,
    },
    /// A packet was refused.
    Drop(DropEvent),
    /// A client that had been refused has been queued.
    Admitted(Admitted),
    /// A client that had been refused has left the queue.
    Dequeued(Dequeued),
    /// The state of the acceptors when drops began.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed, or none has failed while a probe was attached.
    AcceptErrors(Box<AcceptErrors>),
    /// The kernel memory of a queued connection was read.
    Memory(Memory),
    /// The totals of one listener were read.
    Count {
        /// The listener.
        listener: ListenerId,
        /// The values.
        count: Box<Count>,
    },
    /// The depth of a queue was read from the kernel.
    #[serde(rename = "level")]
    DepthSample {
        /// The listener.
        listener: ListenerId,
        /// The depth.
        depth: u32,
        /// The granted backlog.
        limit: u32,
    },
    /// The settings of a network namespace were read.
    Namespace {
        /// The namespace.
        netns: Netns,
        /// The settings.
        settings: Settings,
    },
    /// A network namespace is reconciled only from here on: its earlier counts are unknown.
    Baseline {
        /// The namespace.
        netns: Netns,
    },
    /// A network namespace has ended, or no process is left in it: it is not reconciled again.
    Ended {
        /// The namespace.
        netns: Netns,
    },
    /// The kernel's own counters of a network namespace were read.
    Counters {
        /// The namespace.
        netns: Netns,
        /// The change of each since the start.
        #[serde(with = "form::reading")]
        moved: Box<Reading>,
    },
    /// The connections that were still queued at the end were found in the kernel's tables.
    Queued {
        /// The listener.
        listener: ListenerId,
        /// Since when the oldest one has been queued.
        since_ns: u64,
        /// The oldest one was queued before the run started, at `since_ns`.
        #[serde(default, skip_serializing_if = "form::is_zero")]
        at_least: bool,
    },
    /// A listener's `sk_drops` was read.
    SkDrops {
        /// The listener.
        listener: ListenerId,
        /// Its change since the start.
        moved: Range,
    },
}

/// An event and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// What happened.
    pub what: What,
}

/// An address in its usual form: an IPv4 client of a `[::]` listener is IPv4.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
