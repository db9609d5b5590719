//! The last line of a run: what no summary contains, and what tracing cost.

use backlog_core::clock::Clock;
use backlog_core::model::{Model, NamespacesEnded};
use backlog_core::run::End;
use backlog_core::run::command::CommandEnd;
use serde::Serialize;

use super::cost::Cost;
use super::values::At;

/// `end`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EndLine<'a> {
    #[serde(flatten)]
    at: At,
    /// How long the run lasted, seconds.
    elapsed_s: f64,
    /// Listeners with a summary.
    listeners: usize,
    /// Events of listeners that found no slot: there were more listeners than slots.
    events_without_slot: u64,
    /// Events at listeners that had just closed.
    events_at_closed: u64,
    /// Accepts whose listener is unknown.
    accepts_without_listener: u64,
    /// Drops whose listener is unknown.
    drops_without_listener: u64,
    /// Packets that were the first on their CPU in a network namespace whose counters were not
    /// known at the start: each may be a drop.
    drops_possibly_uncounted: u64,
    /// Records that could not be decoded.
    undecoded_records: u64,
    /// Events that programs missed, since they cannot interrupt themselves. Null: this kernel
    /// does not count them.
    missed_by_programs: Option<u64>,
    /// Attempts beyond the table of 65,536. A retry of such an attempt counts as a client.
    clients_forgotten: u64,
    /// Closed listeners without any event, which have no summary.
    closed_without_event: u64,
    /// Closed listeners beyond 1,024, which have no summary.
    summaries_left_out: u64,
    /// Network namespaces that ended during the run.
    namespaces_ended: EndedNamespaces,
    /// Why the recording of this run is incomplete, or ends before the run did. Null: it is
    /// complete, or nothing was recorded.
    recording_incomplete: Option<&'a str>,
    /// How the command of `--cmd` ended. Null: there was none.
    cmd: Option<Command>,
    /// What tracing cost.
    cost: Cost<'a>,
}

/// Network namespaces that ended, by how their last comparison was.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EndedNamespaces {
    /// The kernel had counted what was seen.
    equal: u64,
    /// The kernel had counted something else.
    different: u64,
    /// They ended before the kernel could be asked.
    uncompared: u64,
    /// Those of `equal` where more was seen after the kernel was asked last.
    unread: u64,
    /// Packets that were refused in `unread` after the kernel was asked last.
    unread_drops: u64,
}

/// The end of the command of `--cmd`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Command {
    /// The status that it exited with. Null: it did not exit.
    exit_code: Option<i32>,
    /// The signal that killed it. Null: none.
    signal: Option<i32>,
    /// It was still running at the end of the run and was stopped.
    stopped: bool,
}

impl<'a> EndLine<'a> {
    /// The line for the end of a run with this many summaries.
    pub(super) fn of(clock: &Clock, model: &Model, listeners: usize, end: &'a End) -> Self {
        let gone = model.gone();
        Self {
            at: At::of(clock, end.time_ns),
            elapsed_s: end.elapsed_ns as f64 / 1e9,
            listeners,
            events_without_slot: end.stray.no_slot,
            events_at_closed: end.stray.closed,
            accepts_without_listener: end.stray.accepts,
            drops_without_listener: end.stray.drops,
            drops_possibly_uncounted: end.stray.hidden,
            undecoded_records: end.decode_errors,
            missed_by_programs: end.missed,
            clients_forgotten: model.clients_forgotten(),
            closed_without_event: gone.idle,
            summaries_left_out: gone.active,
            namespaces_ended: model.ended().into(),
            recording_incomplete: end.recording_incomplete.as_deref(),
            cmd: end.command.map(Command::from),
            cost: (&end.cost).into(),
        }
    }
}

impl From<NamespacesEnded> for EndedNamespaces {
    fn from(ended: NamespacesEnded) -> Self {
        // The number of refused packets there is kept for recordings only.
        let NamespacesEnded { equal, different, uncompared, unread, unread_drops, dropped: _ } =
            ended;
        Self { equal, different, uncompared, unread, unread_drops }
    }
}

impl From<CommandEnd> for Command {
    fn from(end: CommandEnd) -> Self {
        let CommandEnd { exit_code, signal, stopped } = end;
        Self { exit_code, signal, stopped }
    }
}
