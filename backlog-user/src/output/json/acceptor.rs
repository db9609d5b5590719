//! The line on what the acceptors of a listener were doing.

use backlog_core::clock::Clock;
use backlog_core::event::{Acceptor, CpuLimit, Doing, State};
use backlog_core::text::acceptor::sentence;
use serde::Serialize;

use super::values::{At, Id, Named, Process};

/// `acceptor`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AcceptorLine<'a> {
    #[serde(flatten)]
    at: At,
    #[serde(flatten)]
    state: AcceptorState<'a>,
}

/// What the acceptors of a listener were doing when an episode of drops began, or when nobody had
/// accepted for a second although the queue was not empty.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AcceptorState<'a> {
    /// The `id` of the listener.
    listener: Id,
    /// Why the processes were examined. With `idle`, read "the first drop" below as the moment
    /// they were examined.
    occasion: Occasion,
    /// The process that accepted last; the main holder, if nobody was seen accepting.
    process: Process<'a>,
    /// Time from the first drop until they were examined, microseconds.
    looked_after_us: u64,
    /// Time from the last accept until the first drop, microseconds. Null: none was seen, or
    /// there was one since.
    last_accept_us: Option<u64>,
    /// Time from the first drop until the last accept, microseconds. Null: none since.
    accepted_since_us: Option<u64>,
    /// The thread of that accept. Null: not known.
    tid: Option<u32>,
    /// Processes that were examined.
    processes: u32,
    /// Their threads.
    threads: u32,
    /// What these threads were doing, the most frequent first.
    doing: Vec<StateCount<'a>>,
    /// CPU time of the processes in the last `cpu_over_us`, microseconds. Null: not known.
    cpu_us: Option<u64>,
    /// The time that `cpu_us` is about, microseconds. Null: not known.
    cpu_over_us: Option<u64>,
    /// The processes were seen accepting; else they only hold the listener.
    seen_accepting: bool,
    /// `process` has ended.
    gone: bool,
    /// Who holds the socket, if none of those seen accepting is left. Null: not so.
    holder: Option<Process<'a>>,
    /// The CPU limit of a cgroup that held the first process back in the last `cpu_over_us`.
    /// Absent: none did, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_limit: Option<CpuLimitState>,
    /// The same as a sentence.
    text: String,
}

/// The CPU limit of a cgroup: `cpu.max`, or `cpu.cfs_quota_us` of version 1.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CpuLimitState {
    /// CPU time that the cgroup may use in a period, microseconds.
    quota_us: u64,
    /// The period, microseconds.
    period_us: u64,
    /// Periods that the limit was enforced in (`nr_periods`).
    periods: u64,
    /// Periods in which the cgroup was throttled (`nr_throttled`).
    throttled: u64,
}

/// Why acceptors were examined.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Occasion {
    /// An episode of drops began.
    Drops,
    /// Nobody had accepted for a second although the queue was not empty.
    Idle,
}

/// What some threads were doing.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StateCount<'a> {
    /// Their state.
    state: Named<State>,
    /// The kernel function that they sleep in. Null: not known.
    wchan: Option<&'a str>,
    /// How many threads.
    threads: u32,
}

impl<'a> AcceptorLine<'a> {
    /// The line of this examination.
    pub(super) fn of(clock: &Clock, time_ns: u64, acceptor: &'a Acceptor) -> Self {
        Self { at: At::of(clock, time_ns), state: acceptor.into() }
    }
}

impl<'a> From<&'a Acceptor> for AcceptorState<'a> {
    fn from(acceptor: &'a Acceptor) -> Self {
        let us = |time: Option<u64>| time.map(|time_ns| time_ns / 1000);
        Self {
            listener: acceptor.listener.into(),
            occasion: if acceptor.idle { Occasion::Idle } else { Occasion::Drops },
            process: (&acceptor.process).into(),
            looked_after_us: acceptor.looked_after_ns / 1000,
            last_accept_us: us(acceptor.last_accept_ns),
            accepted_since_us: us(acceptor.accepted_since_ns),
            tid: acceptor.tid,
            processes: acceptor.processes,
            threads: acceptor.threads,
            doing: acceptor.doing.iter().map(StateCount::from).collect(),
            cpu_us: us(acceptor.cpu_ns),
            cpu_over_us: us(acceptor.cpu_over_ns),
            seen_accepting: acceptor.seen_accepting,
            gone: acceptor.gone,
            holder: acceptor.holder.as_ref().map(Process::from),
            cpu_limit: acceptor.cpu_limit.as_ref().map(CpuLimitState::from),
            text: sentence(acceptor),
        }
    }
}

impl From<&CpuLimit> for CpuLimitState {
    fn from(limit: &CpuLimit) -> Self {
        let CpuLimit { quota_us, period_us, periods, throttled } = *limit;
        Self { quota_us, period_us, periods, throttled }
    }
}

impl<'a> From<&'a Doing> for StateCount<'a> {
    fn from(doing: &'a Doing) -> Self {
        let Doing { state, wchan, threads } = doing;
        Self { state: Named(*state), wchan: wchan.as_deref(), threads: *threads }
    }
}
