//! What an output is given, and how.

use std::io;

use backlog_core::clock::Clock;
use backlog_core::event::{AcceptErrors, Acceptor, Closed, Limit};
use backlog_core::model::high_use::HighUse;
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;
use backlog_core::model::reconcile::{Account, Blind};
use backlog_core::model::summary::Summary;
use backlog_core::model::{Model, News, Refusal};
use backlog_core::run::{End, Health, Meta};

/// What an output may look at beside the update: the model as it is after it.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    /// Tells the time on the wall of monotonic times.
    pub(crate) clock: &'a Clock,
    /// All that is known of the run.
    pub(crate) model: &'a Model,
}

/// Something to show. Times are monotonic nanoseconds.
#[derive(Clone, Copy)]
pub(crate) enum Update<'a> {
    /// Tracing has begun; again, when a recording is played from its beginning once more: all
    /// before is void.
    Start(&'a Meta),
    /// A listener was found or opened.
    Listener {
        /// When.
        time_ns: u64,
        /// Which.
        page: &'a Page,
    },
    /// A listener was closed.
    Closed {
        /// When.
        time_ns: u64,
        /// Which.
        page: &'a Page,
        /// With what in its queues.
        closed: &'a Closed,
    },
    /// Another `listen()` was called, or a limit has changed.
    Limit {
        /// When.
        time_ns: u64,
        /// Where.
        page: &'a Page,
        /// The limit.
        limit: &'a Limit,
    },
    /// A packet was refused.
    Refused(&'a Refusal),
    /// What the acceptors of a listener were doing when it began to refuse packets.
    Acceptor {
        /// When.
        time_ns: u64,
        /// What.
        acceptor: &'a Acceptor,
    },
    /// Calls of `accept()` have failed.
    AcceptErrors {
        /// When that was read.
        time_ns: u64,
        /// How often, and how.
        errors: &'a AcceptErrors,
        /// In a way that they had not failed before.
        is_new: bool,
    },
    /// A period of high use begins: an accept queue is nearly full.
    HighUse {
        /// Where.
        page: &'a Page,
        /// How full.
        high: &'a HighUse,
    },
    /// The wall clock was set.
    ClockSet {
        /// When that was noticed.
        time_ns: u64,
        /// By how much, nanoseconds.
        step_ns: i128,
    },
    /// An interval has ended.
    Interval {
        /// When.
        time_ns: u64,
        /// What happened in it, a row for each listener.
        rows: &'a [Interval],
    },
    /// What was seen until the end of an interval against what the kernel counted.
    Reconciled {
        /// When.
        time_ns: u64,
        /// By network namespace and counter.
        accounts: &'a [Account],
        /// What may explain a difference.
        blind: &'a Blind,
    },
    /// The state of the tool itself after an interval, for an output that asks for it
    /// ([`Sink::monitors`]).
    Health {
        /// When.
        time_ns: u64,
        /// What.
        health: &'a Health,
    },
    /// Flush the updates since the last time. (The start, an interval and the end flush on their
    /// own.)
    Flush,
    /// A notice of a run that is played, for an output that has a place for it.
    Notice(&'a str),
    /// Tracing has ended.
    End {
        /// A summary of each listener.
        summaries: &'a [Summary<'a>],
        /// The run as a whole.
        end: &'a End,
    },
}

impl<'a> Update<'a> {
    /// What is to be shown at once of what an event has changed.
    pub(crate) fn of_news(model: &'a Model, time_ns: u64, news: &'a News) -> Option<Self> {
        Some(match news {
            News::Refused(refusal) => Self::Refused(refusal),
            News::Acceptor(acceptor) => Self::Acceptor { time_ns, acceptor },
            News::AcceptErrors(errors, is_new) => {
                Self::AcceptErrors { time_ns, errors, is_new: *is_new }
            }
            News::Found(listener) => Self::Listener { time_ns, page: model.get(*listener)? },
            News::Closed(closed) => {
                Self::Closed { time_ns, page: model.get(closed.listener)?, closed }
            }
            News::Limit(limit) => Self::Limit { time_ns, page: model.get(limit.listener)?, limit },
        })
    }
}

/// Shows a run.
pub(crate) trait Sink {
    /// Does it draw how queues go over time? The model keeps that only if so.
    fn draws(&self) -> bool {
        false
    }

    /// Does it show the state of the tool itself, for as long as it runs? It keeps what it needs of
    /// listeners that have closed, so the model need not.
    fn monitors(&self) -> bool {
        false
    }

    /// Shows what has happened. What an output has no place for it leaves out.
    ///
    /// # Errors
    /// If it cannot be written.
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()>;
}
