//! Writes a self-contained HTML page of a run at its end, from the same model as every other
//! output. What the model does not keep (the beginnings of drops, the metadata of the start) is
//! stored here, bounded.

mod annotations;
mod context;
mod episodes;
mod listener;
mod measured;
mod order;
mod overview;
mod page;
mod plot;
mod reconciled;
mod shared;
mod verdict;

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use backlog_core::clock::Clock;
use backlog_core::event::Limit;
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;
use backlog_core::model::{Model, Refusal};
use backlog_core::run::{End, Meta};
use jiff::tz::TimeZone;

use super::sink::{Now, Sink, Update};
use crate::notice::notice;
use crate::output::whole_file::WholeFile;
use annotations::Annotations;
use context::Run;

/// The destination of the page.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    File(WholeFile),
    Stdout,
    Memory(Arc<Mutex<String>>),
}

/// Writes the page at the end.
pub(crate) struct Report {
    zone: TimeZone,
    place: Destination,
    /// Log where the page is.
    tells: bool,
    /// The metadata of the start; None before the run begins.
    meta: Option<Meta>,
    annotations: Annotations,
    written: bool,
}

impl Report {
    /// Creates a report with times in this zone.
    pub(crate) fn new(zone: TimeZone, place: Destination, tells: bool) -> Self {
        Self { zone, place, tells, meta: None, annotations: Annotations::default(), written: false }
    }
}

impl Drop for Report {
    /// A run that aborts has no end to report: say so.
    fn drop(&mut self) {
        if self.meta.is_some()
            && !self.written
            && let Destination::File(file) = &self.place
        {
            let name = file.name().display();
            notice(&format!("--report: {name} was not written: the run broke off"));
        }
    }
}

impl Sink for Report {
    fn draws(&self) -> bool {
        true
    }

    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(meta) => {
                self.start(clock, meta);
                Ok(())
            }
            Update::Limit { time_ns, page, limit } => {
                self.limit(clock, time_ns, page, limit);
                Ok(())
            }
            Update::Refused(refusal) => {
                self.refused(clock, model, refusal);
                Ok(())
            }
            Update::ClockSet { time_ns, step_ns } => {
                self.clock_set(clock, time_ns, step_ns);
                Ok(())
            }
            Update::End { summaries, end } => self.end(clock, model, summaries, end),
            Update::Listener { .. }
            | Update::Closed { .. }
            | Update::Acceptor { .. }
            | Update::AcceptErrors { .. }
            | Update::HighUse { .. }
            | Update::Interval { .. }
            | Update::Reconciled { .. }
            | Update::Health { .. }
            | Update::Flush
            | Update::Notice(_) => Ok(()),
        }
    }
}

impl Report {
    fn start(&mut self, _: &Clock, meta: &Meta) {
        self.meta = Some(meta.clone());
        self.annotations = Annotations::default();
    }

    fn limit(&mut self, _: &Clock, time_ns: u64, page: &Page, limit: &Limit) {
        self.annotations.limit(page.listener.id, time_ns, limit);
    }

    fn refused(&mut self, _: &Clock, _: &Model, refusal: &Refusal) {
        self.annotations.refused(refusal);
    }

    fn clock_set(&mut self, _: &Clock, time_ns: u64, step_ns: i128) {
        self.annotations.clock_set(time_ns, step_ns);
    }

    fn end(
        &mut self,
        clock: &Clock,
        model: &Model,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let Some(meta) = &self.meta else { return Ok(()) };
        let Self { zone, annotations, .. } = self;
        let html = page::render(&Run { zone, clock, meta, model, summaries, end, annotations });
        // The error already says where the page was kept instead.
        self.written = true;
        match &self.place {
            Destination::File(file) => {
                file.write(html.as_bytes())?;
                if self.tells {
                    notice(&format!("report: {}", file.name().display()));
                }
                Ok(())
            }
            Destination::Memory(page) => {
                *page.lock().unwrap_or_else(PoisonError::into_inner) = html;
                Ok(())
            }
            Destination::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(html.as_bytes())?;
                out.flush()
            }
        }
    }
}

#[cfg(test)]
mod tests;
