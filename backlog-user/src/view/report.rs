//! One HTML page of a run, which needs nothing from outside: written at the end, from the
//! same book as every other view. What the book does not keep (the moments at which drops
//! began, what was said at the start) is remembered here meanwhile, bounded.

mod episodes;
mod judged;
mod listener;
mod measured;
mod order;
mod overview;
mod page;
mod plot;
mod shared;
mod story;
mod verdict;

use std::io::{self, Write as _};

use jiff::tz::TimeZone;

use super::{End, Meta, View};
use crate::book::interval::Interval;
use crate::book::page::Page;
use crate::book::reconcile::{Account, Blind};
use crate::book::summary::Summary;
use crate::book::{Book, Refusal};
use crate::clock::Clock;
use crate::event::{Closed, Limit};
use crate::session::notice;
use crate::whole_file::WholeFile;
use page::Run;
use story::Story;

/// Where the page goes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(WholeFile),
    Stdout,
}

/// Writes the page at the end.
pub(crate) struct Report {
    zone: TimeZone,
    place: Place,
    /// Say where it is.
    tells: bool,
    /// What was said at the start; none: it has not begun.
    meta: Option<Meta>,
    story: Story,
    written: bool,
}

impl Report {
    /// A view that writes there, with times of this zone.
    pub(crate) fn new(zone: TimeZone, place: Place, tells: bool) -> Self {
        Self { zone, place, tells, meta: None, story: Story::default(), written: false }
    }
}

impl Drop for Report {
    /// A run that breaks off has no end to report, and that is said.
    fn drop(&mut self) {
        if self.meta.is_some()
            && !self.written
            && let Place::File(file) = &self.place
        {
            let name = file.name().display();
            notice(&format!("--report: {name} was not written: the run broke off"));
        }
    }
}

impl View for Report {
    fn draws(&self) -> bool {
        true
    }

    fn start(&mut self, _: &Clock, meta: &Meta) -> io::Result<()> {
        self.meta = Some(meta.clone());
        self.story = Story::default();
        Ok(())
    }

    fn listener(&mut self, _: &Clock, _: u64, _: &Page) -> io::Result<()> {
        Ok(())
    }

    fn closed(&mut self, _: &Clock, _: u64, _: &Page, _: &Closed) -> io::Result<()> {
        Ok(())
    }

    fn limit(&mut self, _: &Clock, time_ns: u64, page: &Page, limit: &Limit) -> io::Result<()> {
        self.story.limit(page.listener.id, time_ns, limit);
        Ok(())
    }

    fn refused(&mut self, _: &Clock, _: &Book, refusal: &Refusal) -> io::Result<()> {
        self.story.refused(refusal);
        Ok(())
    }

    fn clock_set(&mut self, _: &Clock, time_ns: u64, step_ns: i128) -> io::Result<()> {
        self.story.clock_set(time_ns, step_ns);
        Ok(())
    }

    fn interval(&mut self, _: &Clock, _: u64, _: &Book, _: &[Interval]) -> io::Result<()> {
        Ok(())
    }

    fn reconciled(&mut self, _: &Clock, _: u64, _: &[Account], _: &Blind) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn end(
        &mut self,
        clock: &Clock,
        book: &Book,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let Some(meta) = &self.meta else { return Ok(()) };
        let Self { zone, story, .. } = self;
        let html = page::render(&Run { zone, clock, meta, book, summaries, end, story });
        // The error says where it is instead: nothing else is to be said of it.
        self.written = true;
        match &self.place {
            Place::File(file) => {
                file.write(html.as_bytes())?;
                if self.tells {
                    notice(&format!("report: {}", file.name().display()));
                }
                Ok(())
            }
            Place::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(html.as_bytes())?;
                out.flush()
            }
        }
    }
}

#[cfg(test)]
mod tests;
