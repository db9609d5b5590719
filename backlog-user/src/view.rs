//! What a user sees. Each view renders the same pages; none computes.

pub(crate) mod acceptor;
pub(crate) mod advice;
pub(crate) mod both;
pub(crate) mod command;
mod cost;
pub(crate) mod csv;
pub(crate) mod folded;
pub(crate) mod format;
pub(crate) mod groups;
pub(crate) mod histogram;
pub(crate) mod json;
pub(crate) mod judged;
pub(crate) mod meaning;
pub(crate) mod paragraph;
pub(crate) mod playing;
pub(crate) mod report;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod tui;
pub(crate) mod whose;
pub(crate) mod workers;

use std::io;

use backlog_ebpf::totals::Stray;
use serde::{Deserialize, Serialize};

use crate::book::interval::Interval;
use crate::book::page::Page;
use crate::book::reconcile::{Account, Blind};
use crate::book::summary::Summary;
use crate::book::{Book, News, Refusal};
use crate::clock::Clock;
use crate::event::{AcceptErrors, Acceptor, Closed, Limit, form};
use crate::kernel::settings::{Settings, Spread};
use crate::own::Cost;
use crate::plan::{Backend, Hook};
use command::CommandEnd;
use playing::{Play, Playing};
use tui::inputs::{Input, Inputs};

/// What is said at the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// When tracing began, monotonic nanoseconds.
    pub(crate) time_ns: u64,
    /// The version of the tool that traces.
    pub(crate) version: String,
    /// The host's name.
    #[serde(default)]
    pub(crate) host: Option<String>,
    /// As `uname -r` prints it.
    pub(crate) kernel: String,
    /// The way of attaching.
    pub(crate) backend: Backend,
    /// What is attached where.
    pub(crate) hooks: Vec<Placed>,
    /// The command line.
    pub(crate) options: Vec<String>,
    /// The sysctls of the network namespace in which the tool runs.
    pub(crate) settings: Settings,
    /// Those of the network namespaces that are traced; none: an older recording, or nothing
    /// listens at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traced: Option<Spread>,
    /// Why it is no better backend, and which hooks are not attached as planned.
    pub(crate) reasons: Vec<String>,
    /// What this kernel does not let us know.
    pub(crate) gaps: Vec<String>,
    /// Does the kernel count the runs of programs?
    pub(crate) bpf_stats: bool,
}

impl Meta {
    /// The sysctls that bound the queues: of the namespaces that are traced, as far as that is
    /// known.
    pub(crate) fn bounds(&self) -> Spread {
        self.traced.unwrap_or_else(|| self.settings.into())
    }
}

/// A program on its hook, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// What it is for.
    pub(crate) moment: String,
    /// Its name.
    pub(crate) program: String,
    /// `fexit tcp_check_req`
    pub(crate) how: String,
}

impl From<&Hook> for Placed {
    fn from(hook: &Hook) -> Self {
        Self {
            moment: hook.moment.to_owned(),
            program: hook.program.to_owned(),
            how: hook.describe(),
        }
    }
}

/// What is said at the end beside the listeners' summaries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct End {
    /// When tracing ended, monotonic nanoseconds.
    pub(crate) time_ns: u64,
    /// How long it ran.
    pub(crate) elapsed_ns: u64,
    /// What belongs to no listener.
    #[serde(with = "form::Astray")]
    pub(crate) stray: Stray,
    /// Records that could not be read.
    pub(crate) undecoded: u64,
    /// Events that programs missed because they were interrupted by themselves.
    pub(crate) missed: Option<u64>,
    /// What was seen against what the kernel counted: the book knows.
    #[serde(skip)]
    pub(crate) accounts: Vec<Account>,
    /// What may explain a difference.
    pub(crate) blind: Blind,
    /// What tracing cost.
    pub(crate) cost: Cost,
    /// How the command of `--cmd` ended; none: there was none, or the recording is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<CommandEnd>,
    /// Why the recording of this run is incomplete; none: it is not, or there is none.
    #[serde(skip)]
    pub(crate) unrecorded: Option<String>,
    /// What is to be said of the recording that the run was read from.
    #[serde(skip)]
    pub(crate) remarks: Vec<String>,
}

/// A way to show a run. Times are monotonic; the clock tells the wall's.
pub(crate) trait View {
    /// Does it draw how queues go over time? The book keeps that only if so.
    fn draws(&self) -> bool {
        false
    }
    /// Tracing has begun; again, when a recording is played from its beginning once more:
    /// all that was told before is void.
    fn start(&mut self, clock: &Clock, meta: &Meta) -> io::Result<()>;
    /// A listener was found or opened.
    fn listener(&mut self, clock: &Clock, time_ns: u64, page: &Page) -> io::Result<()>;
    /// A listener was closed.
    fn closed(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        page: &Page,
        closed: &Closed,
    ) -> io::Result<()>;
    /// Another `listen()` was called, or a limit has changed.
    fn limit(&mut self, clock: &Clock, time_ns: u64, page: &Page, limit: &Limit) -> io::Result<()>;
    /// A packet was refused.
    fn refused(&mut self, clock: &Clock, book: &Book, refusal: &Refusal) -> io::Result<()>;
    /// What the acceptors of a listener were doing when it began to refuse packets.
    fn acceptor(&mut self, clock: &Clock, time_ns: u64, acceptor: &Acceptor) -> io::Result<()> {
        let _ = (clock, time_ns, acceptor);
        Ok(())
    }
    /// Calls of `accept()` have failed; `is_new`: in a way that they had not failed before.
    fn accept_errors(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        errors: &AcceptErrors,
        is_new: bool,
    ) -> io::Result<()> {
        let _ = (clock, time_ns, errors, is_new);
        Ok(())
    }
    /// The wall clock was set, by so much.
    fn clock_set(&mut self, clock: &Clock, time_ns: u64, step_ns: i128) -> io::Result<()>;
    /// An interval has ended.
    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        book: &Book,
        rows: &[Interval],
    ) -> io::Result<()>;
    /// What was seen until the end of an interval against what the kernel counted.
    fn reconciled(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        accounts: &[Account],
        blind: &Blind,
    ) -> io::Result<()>;
    /// What was told since the last time is to be seen now. (The start, an interval and
    /// the end see to it themselves.)
    fn flush(&mut self) -> io::Result<()>;
    /// What happens at its terminal, if it has one for itself. To be asked for once.
    fn inputs(&mut self) -> Option<Inputs> {
        None
    }
    /// Something has happened there.
    fn input(&mut self, _clock: &Clock, _book: &Book, _input: Input) -> io::Result<Flow> {
        Ok(Flow::On)
    }
    /// A notice of a run that is played, for a view that has a place for it.
    fn notice(&mut self, _text: &str) {}
    /// How far a recording is played now.
    fn played(&mut self, _playing: Playing) {}
    /// Tracing has ended.
    fn end(
        &mut self,
        clock: &Clock,
        book: &Book,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()>;
}

/// Whether a run is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It goes on.
    On,
    /// It ends, with its summary.
    End,
    /// A recording is to be played otherwise.
    Play(Play),
}

/// Shows at once what an event has told.
pub(crate) fn tell(
    view: &mut dyn View,
    clock: &Clock,
    book: &Book,
    time_ns: u64,
    news: &News,
) -> io::Result<()> {
    let page = |listener| book.get(listener);
    match news {
        News::Refused(refusal) => view.refused(clock, book, refusal),
        News::Acceptor(acceptor) => view.acceptor(clock, time_ns, acceptor),
        News::AcceptErrors(errors, is_new) => view.accept_errors(clock, time_ns, errors, *is_new),
        News::Found(listener) => {
            page(*listener).map_or(Ok(()), |page| view.listener(clock, time_ns, page))
        }
        News::Closed(closed) => {
            page(closed.listener).map_or(Ok(()), |page| view.closed(clock, time_ns, page, closed))
        }
        News::Limit(limit) => {
            page(limit.listener).map_or(Ok(()), |page| view.limit(clock, time_ns, page, limit))
        }
    }
}

#[cfg(test)]
mod tests;
