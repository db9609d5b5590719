//! The acceptors of a listener: their states, and their failed calls.

use serde::{Deserialize, Serialize};

use super::{Caller, ListenerId, form};

/// The state of a listener's acceptors when it began to refuse packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// The listener.
    pub listener: ListenerId,
    /// The process that accepted last; if none has accepted, the main process of those that hold
    /// the listener.
    pub process: Caller,
    /// Time from the first drop to the inspection, nanoseconds.
    pub looked_after_ns: u64,
    /// Time from the last accept to the first drop; none: no accept was seen, or another one
    /// followed.
    pub last_accept_ns: Option<u64>,
    /// Time from the first drop to the last accept after it.
    pub accepted_since_ns: Option<u64>,
    /// The thread that accepted then.
    pub tid: Option<u32>,
    /// The number of inspected processes that hold the listener.
    pub processes: u32,
    /// The number of their threads.
    pub threads: u32,
    /// The states of the threads, the most frequent first.
    pub doing: Vec<Doing>,
    /// CPU time that these processes used before the inspection, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// The period in which they used it, nanoseconds.
    pub cpu_over_ns: Option<u64>,
    /// The inspected processes were seen accepting; otherwise they only hold the listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub seen_accepting: bool,
    /// `process`, which accepted last, has ended.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub gone: bool,
    /// No packet was refused, but nothing was accepted for long: times are relative to the
    /// inspection.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle: bool,
    /// The holder of the listener, if all processes that were seen accepting have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Caller>,
    /// The CPU limit of a cgroup that throttled the first inspected process in the period of
    /// `cpu_over_ns`; none if no limit did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<CpuLimit>,
}

/// A cgroup used up its CPU time (`cpu.max`, or `cpu.cfs_quota_us`) and waited for the next period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimit {
    /// CPU time that it may use in a period, microseconds.
    pub quota_us: u64,
    /// The period, microseconds.
    pub period_us: u64,
    /// Periods in which the limit was enforced (`nr_periods`).
    pub periods: u64,
    /// Periods in which the cgroup was throttled (`nr_throttled`).
    pub throttled: u64,
}

/// The state of several threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// The kernel's state.
    pub state: State,
    /// The kernel function that they sleep in, if it is visible.
    pub wchan: Option<String>,
    /// The number of threads.
    pub threads: u32,
}

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On a CPU, or waiting for one.
    Running,
    /// Sleeping until an event.
    Asleep,
    /// Sleeping uninterruptibly, mostly on a disk.
    Blocked,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Another state, or the thread is ending.
    Other,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Asleep, Self::Blocked, Self::Stopped, Self::Other];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Asleep => "asleep",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

/// Failed calls of `accept()` at a listener since the last such event, counted while a probe for
/// them was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptErrors {
    /// The listener.
    pub listener: ListenerId,
    /// Time for which the probe was attached for this listener, nanoseconds.
    pub watched_ns: u64,
    /// By process and error; empty: no call failed.
    pub errors: Vec<AcceptError>,
    /// Failed calls at any listener for which the probe had no room.
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
    /// The number of failed calls.
    pub count: u64,
    /// The time of the first failure.
    pub first_ns: u64,
    /// The time of the last failure.
    pub last_ns: u64,
    /// For EMFILE: the process's limit on descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// The socket is unknown: the process holds this listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub by_holder: bool,
}
