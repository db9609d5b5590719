//! The truth of a provoked overflow as JSON: written by `backlog-packets`,
//! read by the tests. Fields may be added; none changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Changes;

/// What was done, and what a tracer must have seen.
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
    /// Connections that came into the accept queue. None is accepted.
    pub enqueued: u64,
    /// The clients that were refused.
    pub clients: Vec<Hit>,
    /// The change of the kernel's counters, whole namespace.
    pub kernel: Changes,
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
