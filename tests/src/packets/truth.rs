//! The truth of a provoked overflow as JSON: written by `backlog-packets`,
//! read by the tests. Fields may be added; none changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Changes;

/// The events, and what a tracer must have seen by the program's end, which closes the listener
/// with the connections that are still queued.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Truth {
    /// The scenario's name.
    pub scenario: String,
    /// The port listened on.
    pub port: u16,
    /// The granted backlog.
    pub limit: u32,
    /// Drops by cause: packets, retries included.
    pub expected: BTreeMap<String, u64>,
    /// Connections that came into the accept queue by a handshake.
    pub enqueued: u64,
    /// Connections that were accepted.
    #[serde(default)]
    pub accepted: u64,
    /// Side events, by their name in the tool's output; only those that happened.
    #[serde(default)]
    pub beside: BTreeMap<String, u64>,
    /// Those of the drops for which the kernel moves no `ListenDrops`.
    #[serde(default)]
    pub uncounted: u64,
    /// The clients that were refused.
    pub clients: Vec<Hit>,
    /// The change of the kernel's counters, whole namespace.
    pub kernel: Changes,
    /// The change of the listener's `sk_drops`; none where it was closed, and
    /// for MPTCP, which does not show that of its TCP subflow.
    #[serde(default)]
    pub sk_drops: Option<u64>,
    /// Why it could not be done: by this kernel, or since a race was not hit.
    #[serde(default)]
    pub absent: Option<String>,
    /// Each listener's share, where there is more than one (`migrated`): first
    /// the one that was closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Share>,
}

/// One listener's share of the truth.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Share {
    /// Connections that came into its queue by a handshake.
    pub enqueued: u64,
    /// Connections accepted from it.
    pub accepted: u64,
    /// Side events; only those that happened.
    pub beside: BTreeMap<String, u64>,
}

/// A refused client.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hit {
    /// Its address.
    pub addr: String,
    /// Its port.
    pub port: u16,
    /// The initial sequence number of its SYN.
    pub isn: u32,
}
