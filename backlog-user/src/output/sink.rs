//! The interface of outputs: the updates that they receive.

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

/// What an output may read in addition to the update: the model after the update.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    /// Converts monotonic times to wall-clock times.
    pub(crate) clock: &'a Clock,
    /// The state of the run.
    pub(crate) model: &'a Model,
}

/// Something to show. Times are in monotonic nanoseconds.
#[derive(Clone, Copy)]
pub(crate) enum Update<'a> {
    /// Tracing has begun. If it comes again, a recording is being played from its beginning, and
    /// all earlier updates are void.
    Start(&'a Meta),
    /// A listener was found or opened.
    Listener {
        time_ns: u64,
        /// The listener.
        page: &'a Page,
    },
    /// A listener was closed.
    Closed {
        time_ns: u64,
        /// The listener.
        page: &'a Page,
        /// The content of its queues.
        closed: &'a Closed,
    },
    /// Another `listen()` was called, or a limit has changed.
    Limit {
        time_ns: u64,
        /// The listener.
        page: &'a Page,
        /// The limit.
        limit: &'a Limit,
    },
    /// A packet was refused.
    Refused(&'a Refusal),
    /// What the acceptors of a listener were doing when it began to refuse packets.
    Acceptor {
        time_ns: u64,
        /// What they were doing.
        acceptor: &'a Acceptor,
    },
    /// Calls of `accept()` have failed.
    AcceptErrors {
        /// When that was read.
        time_ns: u64,
        /// The failures.
        errors: &'a AcceptErrors,
        /// They had not failed in this way before.
        is_new: bool,
    },
    /// A period of high use begins: an accept queue is nearly full.
    HighUse {
        /// The listener.
        page: &'a Page,
        /// How full the queue is.
        high: &'a HighUse,
    },
    /// The wall clock was set.
    ClockSet {
        /// When the step was noticed.
        time_ns: u64,
        /// The step in nanoseconds.
        step_ns: i128,
    },
    /// An interval has ended.
    Interval {
        time_ns: u64,
        /// A row for each listener.
        rows: &'a [Interval],
    },
    /// The comparison with the kernel's counters at the end of an interval.
    Reconciled {
        time_ns: u64,
        /// The comparisons by network namespace and counter.
        accounts: &'a [Account],
        /// The known gaps that may explain a difference.
        blind: &'a Blind,
    },
    /// The state of the tool itself after an interval, for an output that asks for it
    /// ([`Sink::monitors`]).
    Health {
        time_ns: u64,
        /// The state.
        health: &'a Health,
    },
    /// Flush the updates since the last flush. (The start, an interval and the end flush on their
    /// own.)
    Flush,
    /// A message from a recording, for an output that shows these.
    Notice(&'a str),
    /// Tracing has ended.
    End {
        /// The summary of each listener.
        summaries: &'a [Summary<'a>],
        /// The run as a whole.
        end: &'a End,
    },
}

impl<'a> Update<'a> {
    /// The update that shows what an event has changed, if it is shown immediately.
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
    /// Does it draw queues over time? Only then does the model keep the data for that.
    fn draws(&self) -> bool {
        false
    }

    /// Does it show the state of the tool itself, as a long-running service does? It then keeps
    /// what it needs of closed listeners, so that the model need not.
    fn monitors(&self) -> bool {
        false
    }

    /// Shows an update. An output ignores updates that it does not show.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()>;
}
