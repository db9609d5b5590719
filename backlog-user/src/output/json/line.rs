//! Every kind of line that a run prints with `-o json`, live or replayed. docs/schema.json and
//! the tables of docs/JSON.md are generated from these types and their doc comments.

use serde::Serialize;

use super::acceptor::AcceptorLine;
use super::accepts::AcceptErrorsLine;
use super::end::EndLine;
use super::event::EventLine;
use super::interval::IntervalLine;
use super::listener::{ClosedLine, LimitLine, ListenerLine};
use super::meta::{ClockLine, MetaLine};
use super::namespace::NamespaceLine;
use super::refusal::DropLine;
use super::summary::SummaryLine;

/// One line. The doc comment of a variant says when it is printed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// First. Everything is attached by then.
    Meta(MetaLine<'a>),
    /// A listener was found or opened.
    Listener(ListenerLine<'a>),
    /// A listener was closed.
    Closed(ClosedLine),
    /// The wall clock was set during the run. `time` is by the new clock; `mono_ns` goes on.
    Clock(ClockLine),
    /// `listen()` was called again on an open listener, or its limit has changed. Also the call
    /// that opened a listener, if a packet met the socket before the call returned.
    Limit(LimitLine<'a>),
    /// A packet was refused. At most about `--drop-records` drops of a listener have a line each
    /// second; the counts have all of them.
    Drop(DropLine),
    /// An episode of drops begins, or nobody has accepted for a second although the queue is not
    /// empty, and the processes of the listener were examined.
    Acceptor(AcceptorLine<'a>),
    /// Calls of `accept()` failed. They are watched for some seconds when an episode of drops
    /// begins or nobody has accepted for a second although the queue is not empty. The line comes
    /// at the end of an interval and at the end of the watch.
    AcceptErrors(AcceptErrorsLine<'a>),
    /// With `--until-use`, `--warn-use` or `--on-event`: the accept queue of a listener is nearly
    /// full. A period of high use has one such line; it ends when the queue stays below the level
    /// for 10 s. The command of `--on-event` gets this line on stdin, and for drops and
    /// stalls one of the same form, which stdout has as `drop` and `acceptor`.
    Event(EventLine<'a>),
    /// The end of an interval, for each listener with any activity; for every listener that
    /// matches with `--port` or `-v`.
    Interval(IntervalLine),
    /// The comparison with the kernel's counters of a network namespace: at the end of the run, and
    /// of each interval that changed it.
    Namespace(NamespaceLine),
    /// At the end, one for each listener.
    Summary(Box<SummaryLine<'a>>),
    /// Last. It has what is in no summary.
    End(EndLine<'a>),
}
