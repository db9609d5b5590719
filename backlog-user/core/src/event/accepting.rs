//! Those who accept: what they were doing, and how their calls failed.

use serde::{Deserialize, Serialize};

use super::{Caller, ListenerId, form};

/// What those who accept at a listener were doing when it began to refuse packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// Whose acceptors.
    pub listener: ListenerId,
    /// The process that had accepted last; of one that nobody has accepted from the main one
    /// of those that hold it.
    pub process: Caller,
    /// How long after the first drop was looked, nanoseconds.
    pub looked_after_ns: u64,
    /// How long before the first drop the last accept was; none: none was seen, or there was
    /// another one since.
    pub last_accept_ns: Option<u64>,
    /// How long after the first drop the last accept was.
    pub accepted_since_ns: Option<u64>,
    /// The thread that did it.
    pub tid: Option<u32>,
    /// Processes that hold the listener and were looked at.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// What these were doing, the most first.
    pub doing: Vec<Doing>,
    /// CPU time of these processes, nanoseconds, in so many nanoseconds before the look.
    pub cpu_ns: Option<u64>,
    /// See there.
    pub cpu_over_ns: Option<u64>,
    /// The processes that were looked at were seen accepting; else they only hold the listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub seen_accepting: bool,
    /// `process`, which accepted last, has ended.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub gone: bool,
    /// No packet was refused, but nobody had accepted for long: the moment is that of the look.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle: bool,
    /// Who holds the listener, where none of those that were seen accepting is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Caller>,
}

/// What some threads were doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// The kernel's state.
    pub state: State,
    /// The function of the kernel that they sleep in, if that may be known.
    pub wchan: Option<String>,
    /// How many.
    pub threads: u32,
}

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On a CPU, or waiting for one.
    Running,
    /// Until something happens.
    Asleep,
    /// The same, and nothing can interrupt it: mostly a disk.
    Blocked,
    /// By a signal or a debugger.
    Stopped,
    /// Something else, or it is ending.
    Other,
}

/// Failed calls of `accept()` at a listener since the last such event, counted while a probe on
/// them was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptErrors {
    /// Whose.
    pub listener: ListenerId,
    /// How long the probe was attached for this listener, nanoseconds.
    pub watched_ns: u64,
    /// By process and error; empty: no call has failed.
    pub errors: Vec<AcceptError>,
    /// Failed calls, of whichever listener, that the probe had no room for.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub left_out: u64,
}

/// The failed calls of one process with one error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptError {
    /// The process, with the name of the thread that failed first.
    pub process: Caller,
    /// The error.
    pub errno: i32,
    /// How often.
    pub count: u64,
    /// The first and the last time.
    pub first_ns: u64,
    /// See there.
    pub last_ns: u64,
    /// For EMFILE: how many descriptors the process may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// The socket is not known: the process holds this listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub by_holder: bool,
}
