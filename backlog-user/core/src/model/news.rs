//! The changes made by an event, for outputs that show them immediately.

use crate::event::{AcceptErrors, Acceptor, Closed, DropEvent, Limit, ListenerId};

/// A drop, as outputs show it immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time_ns: u64,
    /// The refusal.
    pub drop: DropEvent,
    /// For a retry: when this attempt was refused first.
    pub retry_of_ns: Option<u64>,
    /// It begins a run of drops of its cause at its listener: there was none for a second.
    pub first: bool,
    /// It begins an episode: no drop of any cause preceded it.
    pub episode: bool,
}

/// An event that outputs show immediately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A listener that was not known.
    Found(ListenerId),
    /// A listener was closed.
    Closed(Closed),
    /// A limit has changed.
    Limit(Limit),
    /// A packet was refused.
    Refused(Refusal),
    /// The state of the acceptors then.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed; true: in a way that they had not failed before.
    AcceptErrors(Box<AcceptErrors>, bool),
}
