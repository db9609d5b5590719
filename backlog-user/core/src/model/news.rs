//! What an event has changed, for outputs that show it at once.

use crate::event::{AcceptErrors, Acceptor, Closed, DropEvent, Limit, ListenerId};

/// What a view wants to show of a drop at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time_ns: u64,
    /// What was refused.
    pub drop: DropEvent,
    /// For a retry: when this attempt was refused first.
    pub retry_of_ns: Option<u64>,
    /// It begins a run of drops of its cause at its listener: there was none for a second.
    pub first: bool,
    /// It begins an episode: there was none of any cause.
    pub episode: bool,
}

/// What an event tells that a view shows at once.
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
    /// What the acceptors were doing then.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed; true: in a way that they had not failed before.
    AcceptErrors(Box<AcceptErrors>, bool),
}
