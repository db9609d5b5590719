//! The accepts of a listener by process and thread, and failed calls of `accept()`.

use backlog_core::clock::Clock;
use backlog_core::event::{AcceptError, AcceptErrors, Accepts};
use backlog_core::model::accept_errors::FailedAccepts;
use backlog_core::model::page::Page;
use backlog_core::model::workers::Share;
use serde::Serialize;

use super::values::{At, Id, Process, Time};

/// Who accepted.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AcceptCounts<'a> {
    /// The processes that accepted, the busiest first, with 256 threads at most.
    workers: Vec<Worker<'a>>,
    /// Accepts of further threads. The programs tell 32 threads of a listener apart; if this is
    /// not zero, the shares are a sample.
    other: u64,
    /// Accepts whose thread was not seen.
    not_seen: u64,
}

/// A process that accepted.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Worker<'a> {
    /// The process, with the name of its busiest thread.
    process: Process<'a>,
    /// Connections that it accepted.
    accepts: u64,
    /// Its share of `accepted`.
    #[cfg_attr(test, schemars(range(min = 0)))]
    share: f64,
    /// Its threads that accepted, the busiest first.
    threads: Vec<Thread<'a>>,
}

/// A thread that accepted.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Thread<'a> {
    /// Its number.
    tid: u32,
    /// Its name.
    comm: &'a str,
    /// Connections that it accepted.
    accepts: u64,
}

impl<'a> AcceptCounts<'a> {
    /// The accepts of a listener.
    pub(super) fn of(page: &'a Page) -> Self {
        let accepted = page.totals.accepted;
        let worker = |share: Share<'a>| Worker {
            process: share.process.into(),
            accepts: share.accepts,
            share: share.accepts as f64 / accepted.max(1) as f64,
            threads: share.threads.into_iter().map(Thread::from).collect(),
        };
        Self {
            workers: page.workers.shares().into_iter().map(worker).collect(),
            other: page.workers.other,
            not_seen: page.workers.not_seen(accepted),
        }
    }
}

impl<'a> From<&'a Accepts> for Thread<'a> {
    fn from(accepts: &'a Accepts) -> Self {
        Self { tid: accepts.tid, comm: &accepts.process.comm, accepts: accepts.count }
    }
}

/// `accept_errors`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AcceptErrorsLine<'a> {
    #[serde(flatten)]
    at: At,
    #[serde(flatten)]
    failed: FailedCalls<'a>,
    /// The `id` of the listener.
    listener: Id,
}

/// Failed calls of `accept()` while they were watched: in a line since the line before, in a
/// summary over the whole run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailedCalls<'a> {
    /// How long calls were watched, microseconds.
    watched_us: u64,
    /// The calls by process and error; in a summary at most 32.
    errors: Vec<FailedCall<'a>>,
    /// Failed calls, of any listener, for which the probe had no room.
    left_out: u64,
}

/// The failed calls of `accept()` of one process with one error.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailedCall<'a> {
    /// The process, with the name of the thread that failed first.
    process: Process<'a>,
    /// The error's number.
    #[cfg_attr(test, schemars(range(min = 0)))]
    errno: i32,
    /// The error's name: `EMFILE`. Null: not an error of `accept()`.
    name: Option<&'static str>,
    /// How many calls failed.
    count: u64,
    /// When the first one failed.
    first: Time,
    /// When the last one failed.
    last: Time,
    /// With EMFILE, `RLIMIT_NOFILE` of the process. Null: another error.
    nofile: Option<u64>,
    /// The kernel does not show which socket it was, but the process holds this listener.
    by_holder: bool,
    /// The same as a sentence.
    text: String,
}

/// Failed calls of `accept()` over the whole run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AllFailedCalls<'a> {
    #[serde(flatten)]
    failed: FailedCalls<'a>,
    /// The same as a sentence. Null: no call failed.
    text: Option<String>,
}

impl<'a> AcceptErrorsLine<'a> {
    /// The line of calls that failed since the line before.
    pub(super) fn of(clock: &Clock, time_ns: u64, errors: &'a AcceptErrors) -> Self {
        let AcceptErrors { listener, watched_ns, errors, left_out } = errors;
        Self {
            at: At::of(clock, time_ns),
            failed: FailedCalls::of(clock, *watched_ns, errors, *left_out),
            listener: (*listener).into(),
        }
    }
}

impl<'a> AllFailedCalls<'a> {
    /// The failed calls of a listener.
    pub(super) fn of(clock: &Clock, failed: &'a FailedAccepts) -> Self {
        let FailedAccepts { watched_ns, kept, left_out } = failed;
        Self {
            failed: FailedCalls::of(clock, *watched_ns, kept, *left_out),
            text: failed.sentence(),
        }
    }
}

impl<'a> FailedCalls<'a> {
    fn of(clock: &Clock, watched_ns: u64, errors: &'a [AcceptError], left_out: u64) -> Self {
        let errors = errors.iter().map(|error| FailedCall::of(clock, error)).collect();
        Self { watched_us: watched_ns / 1000, errors, left_out }
    }
}

impl<'a> FailedCall<'a> {
    fn of(clock: &Clock, error: &'a AcceptError) -> Self {
        let AcceptError { process, errno, count, first_ns, last_ns, nofile, by_holder } = error;
        Self {
            process: process.into(),
            errno: *errno,
            name: error.name(),
            count: *count,
            first: Time::of(clock, *first_ns),
            last: Time::of(clock, *last_ns),
            nofile: *nofile,
            by_holder: *by_holder,
            text: error.sentence(),
        }
    }
}
