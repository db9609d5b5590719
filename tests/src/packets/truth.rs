//! The truth of a provoked overflow as JSON: written by `backlog-packets`,
//! read by the tests. Fields may be added; none changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Changes;

/// The events, and what a tracer must have seen by the end of the program, which closes the
/// listener with the connections that are still queued.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Truth {
    /// The scenario's name.
    pub scenario: String,
    /// The port listened on.
    pub port: u16,
    /// The granted backlog.
    pub limit: u32,
    /// Drops by cause, in packets including retries.
    pub expected: BTreeMap<String, u64>,
    /// Connections that a handshake added to the accept queue.
    pub enqueued: u64,
    /// Connections that were accepted.
    #[serde(default)]
    pub accepted: u64,
    /// Side events by their name in the tool's output; only those that occurred.
    #[serde(default)]
    pub beside: BTreeMap<String, u64>,
    /// The drops for which the kernel does not increment `ListenDrops`.
    #[serde(default)]
    pub uncounted: u64,
    /// The clients that were refused.
    pub clients: Vec<Hit>,
    /// The changes of the kernel's counters, for the whole namespace.
    pub kernel: Changes,
    /// The change of the listener's `sk_drops`; None if the listener was closed, and for MPTCP,
    /// which does not report that of its TCP subflow.
    #[serde(default)]
    pub sk_drops: Option<u64>,
    /// Why it was impossible: because of this kernel, or because a race was not hit.
    #[serde(default)]
    pub absent: Option<String>,
    /// The share of each listener, if there are several (`migrated`), beginning with the one that
    /// was closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Share>,
}

/// One listener's share of the truth.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Share {
    /// Connections that a handshake added to its queue.
    pub enqueued: u64,
    /// Connections accepted from it.
    pub accepted: u64,
    /// Side events; only those that occurred.
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
