//! The changes made by an event, for outputs that show them immediately.

use crate::event::{AcceptErrors, Acceptor, Closed, DropEvent, Limit, ListenerId};

/// A drop, for outputs that show it immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The time of the drop.
    pub time_ns: u64,
    /// The drop.
    pub drop: DropEvent,
    /// For a retry: when this attempt was first refused.
    pub retry_of_ns: Option<u64>,
    /// It begins a run of drops of its cause at its listener: there was none in the second before.
    pub first: bool,
    /// It begins an episode: there was no drop of any cause in the second before.
    pub episode: bool,
}

/// An event that outputs show immediately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A new listener.
    Found(ListenerId),
    /// A listener was closed.
    Closed(Closed),
    /// A limit has changed.
    Limit(Limit),
    /// A packet was refused.
    Refused(Refusal),
    /// The state of the acceptors when drops began.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed; true if they failed in a new way.
    AcceptErrors(Box<AcceptErrors>, bool),
}
