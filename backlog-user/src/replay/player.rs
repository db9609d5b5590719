//! Feeds a view with the steps of a run: the same book, and the same telling, as when it was
//! traced. Whoever wants a pace or a place takes the steps as they like.

use std::io;
use std::time::Duration;

use crate::book::Book;
use crate::clock::Clock;
use crate::record::line::{Header, Step};
use crate::show::{self, Told};
use crate::view::View;

/// A run that is shown again.
pub(crate) struct Player {
    book: Book,
    clock: Clock,
    told: Told,
    /// Intervals as long as this, of those that were recorded.
    every_ns: u64,
    /// When the last interval ended, and the last one that was shown.
    ended_ns: u64,
    shown_ns: u64,
}

impl Player {
    /// The start of the run.
    pub(crate) fn start(
        header: &Header,
        every: Option<Duration>,
        view: &mut dyn View,
    ) -> io::Result<Self> {
        let start_ns = header.meta.time_ns;
        let clock = header.clock.clone();
        view.start(&clock, &header.meta)?;
        let mut book = Book::new(start_ns);
        if view.draws() {
            book.keep_timelines();
        }
        if let Some(timeout_ns) = header.client_timeout_ns {
            book.set_client_timeout(timeout_ns);
        }
        Ok(Self {
            book,
            clock,
            told: Told::new(header.until_drop),
            every_ns: every.map_or(0, |every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)),
            ended_ns: start_ns,
            shown_ns: start_ns,
        })
    }

    /// What the view has been told of.
    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// The times on the wall.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The next step.
    pub(crate) fn step(&mut self, view: &mut dyn View, step: Step) -> io::Result<()> {
        let Self { book, clock, told, .. } = self;
        match step {
            Step::Event(event) => show::event(view, clock, book, told, &event).map(drop),
            Step::Clock { mark, set } => {
                clock.note(mark);
                match set {
                    Some((time_ns, step_ns)) => view.clock_set(clock, time_ns, step_ns),
                    None => Ok(()),
                }
            }
            Step::Begin { time_ns, past } => {
                book.resume(time_ns, &past);
                (self.ended_ns, self.shown_ns) = (time_ns, time_ns);
                Ok(())
            }
            Step::Interval { time_ns, blind } => {
                let half_ns = time_ns.saturating_sub(self.ended_ns) / 2;
                self.ended_ns = time_ns;
                // Nearer to the end of the wanted one than the next would be.
                if time_ns.saturating_sub(self.shown_ns).saturating_add(half_ns) < self.every_ns {
                    return Ok(());
                }
                self.shown_ns = time_ns;
                show::interval(view, clock, book, time_ns, &blind).map(drop)
            }
            Step::Rest { time_ns } => show::rest(view, clock, book, time_ns),
            Step::Notice { .. } => Ok(()),
            Step::End(end) => show::end(view, clock, book, *end),
        }
    }
}
