//! The acceptors: their states, and their failed calls.

use serde::{Deserialize, Serialize};

use super::{Caller, ListenerId, form};

/// The state of a listener's acceptors when it began to refuse packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// Whose acceptors.
    pub listener: ListenerId,
    /// The process that accepted last; if nobody has accepted, the main process of those that hold
    /// the listener.
    pub process: Caller,
    /// Time of the inspection after the first drop, nanoseconds.
    pub looked_after_ns: u64,
    /// Time of the last accept before the first drop; none: none was seen, or another one followed.
    pub last_accept_ns: Option<u64>,
    /// Time of the last accept after the first drop.
    pub accepted_since_ns: Option<u64>,
    /// The thread that did it.
    pub tid: Option<u32>,
    /// Inspected processes that hold the listener.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// Their states, the most frequent first.
    pub doing: Vec<Doing>,
    /// CPU time of these processes, nanoseconds, and the period before the inspection in which they
    /// used it.
    pub cpu_ns: Option<u64>,
    /// See there.
    pub cpu_over_ns: Option<u64>,
    /// The inspected processes were seen accepting; otherwise they only hold the listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub seen_accepting: bool,
    /// `process`, which accepted last, has ended.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub gone: bool,
    /// No packet was refused, but nobody had accepted for long: the time is that of the inspection.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle: bool,
    /// The holder of the listener, if no process that was seen accepting is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Caller>,
    /// The CPU limit of a cgroup that held the first inspected process back, in the period of
    /// `cpu_over_ns`. None: no limit did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<CpuLimit>,
}

/// A cgroup had used up its CPU time (`cpu.max`, or `cpu.cfs_quota_us`), and waited for the next
/// period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimit {
    /// CPU time that it may use in a period, microseconds.
    pub quota_us: u64,
    /// The period, microseconds.
    pub period_us: u64,
    /// Periods that the limit was enforced in (`nr_periods`).
    pub periods: u64,
    /// Periods in which the cgroup was throttled (`nr_throttled`).
    pub throttled: u64,
}

/// The state of several threads.
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

impl State {
    /// Every one.
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

/// Failed calls of `accept()` at a listener since the last such event, counted while a probe on
/// them was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptErrors {
    /// Whose.
    pub listener: ListenerId,
    /// Time for which the probe was attached for this listener, nanoseconds.
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
    /// For EMFILE: the process's limit of descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// The socket is not known: the process holds this listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub by_holder: bool,
}
