//! Prints JSON lines, the contract of docs/JSON.md. `line` has a type for every kind of line.

mod acceptor;
mod accepts;
mod cost;
mod distribution;
mod drops;
mod end;
pub(crate) mod event;
mod group;
mod interval;
pub(crate) mod line;
mod listener;
pub(crate) mod meta;
mod namespace;
pub(crate) mod owner;
mod refusal;
#[cfg(test)]
mod schema;
mod sizing;
mod summary;
pub(crate) mod values;

use std::collections::HashMap;
use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::Netns;
use backlog_core::model::Model;
use backlog_core::model::interval::Interval;
use backlog_core::model::reconcile::{self, Account, Blind, CounterCheck};
use backlog_core::model::summary::Summary;
use backlog_core::run::End;

use super::sink::{Now, Sink, Update};
use acceptor::AcceptorLine;
use accepts::AcceptErrorsLine;
use end::EndLine;
use event::EventLine;
use group::Groups;
use interval::IntervalLine;
use line::Line;
use listener::{ClosedLine, LimitLine, ListenerLine};
use meta::{ClockLine, MetaLine};
use namespace::NamespaceLine;
use refusal::DropLine;
use summary::SummaryLine;

/// Writes JSON lines.
pub(crate) struct Json<W> {
    out: W,
    /// Also print lines of idle listeners.
    idle_rows: bool,
    /// The last comparison that was printed for each network namespace.
    compared: HashMap<Netns, Vec<CounterCheck>>,
}

impl<W: Write> Json<W> {
    /// Creates an output that writes to `out`.
    pub(crate) fn new(out: W, idle_rows: bool) -> Self {
        Self { out, idle_rows, compared: HashMap::new() }
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        values::write(&mut self.out, line)
    }
}

impl<W: Write> Sink for Json<W> {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        let line = match *update {
            Update::Listener { time_ns, page } => {
                Line::Listener(ListenerLine::of(clock, time_ns, page))
            }
            Update::Closed { time_ns, page, closed } => {
                Line::Closed(ClosedLine::of(clock, time_ns, page, closed))
            }
            Update::Limit { time_ns, page, limit } => {
                Line::Limit(LimitLine::of(clock, time_ns, page, limit))
            }
            Update::Refused(refusal) => Line::Drop(DropLine::of(clock, refusal)),
            Update::Acceptor { time_ns, acceptor } => {
                Line::Acceptor(AcceptorLine::of(clock, time_ns, acceptor))
            }
            Update::AcceptErrors { time_ns, errors, is_new: _ } if errors.says_something() => {
                Line::AcceptErrors(AcceptErrorsLine::of(clock, time_ns, errors))
            }
            Update::HighUse { page, high } => Line::Event(EventLine::high_use(clock, page, high)),
            Update::ClockSet { time_ns, step_ns } => {
                Line::Clock(ClockLine::of(clock, time_ns, step_ns))
            }
            Update::AcceptErrors { .. } | Update::Health { .. } | Update::Notice(_) => {
                return Ok(());
            }
            Update::Start(meta) => {
                self.line(&Line::Meta(MetaLine::of(clock, meta)))?;
                return self.out.flush();
            }
            Update::Interval { time_ns, rows } => {
                return self.interval(clock, time_ns, model, rows);
            }
            Update::Reconciled { time_ns, accounts, blind } => {
                self.compared.retain(|netns, _| model.knows_namespace(*netns));
                return self.reconciled(clock, time_ns, accounts, blind);
            }
            Update::Flush => return self.out.flush(),
            Update::End { summaries, end } => return self.end(clock, model, summaries, end),
        };
        self.line(&line)
    }
}

/// Updates that print several lines and flush them at once.
impl<W: Write> Json<W> {
    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        model: &Model,
        rows: &[Interval],
    ) -> io::Result<()> {
        let idle_rows = self.idle_rows;
        for row in rows.iter().filter(|row| idle_rows || row.active()) {
            let check = model.get(row.listener).and_then(reconcile::of_listener);
            let line = IntervalLine::of(clock, time_ns, row, check.as_ref());
            self.line(&Line::Interval(line))?;
        }
        self.out.flush()
    }

    fn reconciled(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        accounts: &[Account],
        blind: &Blind,
    ) -> io::Result<()> {
        for account in accounts {
            let Account { netns, verdicts, unread_drops: _ } = account;
            let before = self.compared.insert(*netns, verdicts.clone());
            // Print only changes, and only if a counter has moved.
            if before.as_ref() == Some(verdicts) || !verdicts.iter().any(CounterCheck::moved) {
                continue;
            }
            let line = NamespaceLine::of(clock, time_ns, account, blind);
            self.line(&Line::Namespace(line))?;
        }
        self.out.flush()
    }

    fn end(
        &mut self,
        clock: &Clock,
        model: &Model,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let groups = Groups::of(summaries);
        for summary in summaries {
            let line = SummaryLine::of(clock, model, &groups, summary, end);
            self.line(&Line::Summary(Box::new(line)))?;
        }
        for account in &end.accounts {
            let line = NamespaceLine::at_end(clock, model, account, end);
            self.line(&Line::Namespace(line))?;
        }
        self.line(&Line::End(EndLine::of(clock, model, summaries.len(), end)))?;
        self.out.flush()
    }
}
