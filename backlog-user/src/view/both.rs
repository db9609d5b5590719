//! Two views of one run. What one of them cannot do keeps nothing from the other at the end.
//! Every method of a view must be here, those with a body of their own, too.

use std::io;

use super::playing::Playing;
use super::tui::inputs::{Input, Inputs};
use super::{End, Flow, Meta, View};
use crate::book::interval::Interval;
use crate::book::page::Page;
use crate::book::reconcile::{Account, Blind};
use crate::book::summary::Summary;
use crate::book::{Book, Refusal};
use crate::clock::Clock;
use crate::event::{AcceptErrors, Acceptor, Closed, Limit};

/// Passes each call on to both.
pub(crate) struct Both {
    first: Box<dyn View>,
    second: Box<dyn View>,
}

impl Both {
    /// The first is the one that people look at.
    pub(crate) fn new(first: Box<dyn View>, second: Box<dyn View>) -> Self {
        Self { first, second }
    }
}

impl View for Both {
    fn draws(&self) -> bool {
        self.first.draws() || self.second.draws()
    }

    fn start(&mut self, clock: &Clock, meta: &Meta) -> io::Result<()> {
        self.first.start(clock, meta)?;
        self.second.start(clock, meta)
    }

    fn listener(&mut self, clock: &Clock, time_ns: u64, page: &Page) -> io::Result<()> {
        self.first.listener(clock, time_ns, page)?;
        self.second.listener(clock, time_ns, page)
    }

    fn closed(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        page: &Page,
        closed: &Closed,
    ) -> io::Result<()> {
        self.first.closed(clock, time_ns, page, closed)?;
        self.second.closed(clock, time_ns, page, closed)
    }

    fn limit(&mut self, clock: &Clock, time_ns: u64, page: &Page, limit: &Limit) -> io::Result<()> {
        self.first.limit(clock, time_ns, page, limit)?;
        self.second.limit(clock, time_ns, page, limit)
    }

    fn refused(&mut self, clock: &Clock, book: &Book, refusal: &Refusal) -> io::Result<()> {
        self.first.refused(clock, book, refusal)?;
        self.second.refused(clock, book, refusal)
    }

    fn acceptor(&mut self, clock: &Clock, time_ns: u64, acceptor: &Acceptor) -> io::Result<()> {
        self.first.acceptor(clock, time_ns, acceptor)?;
        self.second.acceptor(clock, time_ns, acceptor)
    }

    fn accept_errors(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        errors: &AcceptErrors,
        is_new: bool,
    ) -> io::Result<()> {
        self.first.accept_errors(clock, time_ns, errors, is_new)?;
        self.second.accept_errors(clock, time_ns, errors, is_new)
    }

    fn clock_set(&mut self, clock: &Clock, time_ns: u64, step_ns: i128) -> io::Result<()> {
        self.first.clock_set(clock, time_ns, step_ns)?;
        self.second.clock_set(clock, time_ns, step_ns)
    }

    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        book: &Book,
        rows: &[Interval],
    ) -> io::Result<()> {
        self.first.interval(clock, time_ns, book, rows)?;
        self.second.interval(clock, time_ns, book, rows)
    }

    fn reconciled(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        accounts: &[Account],
        blind: &Blind,
    ) -> io::Result<()> {
        self.first.reconciled(clock, time_ns, accounts, blind)?;
        self.second.reconciled(clock, time_ns, accounts, blind)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.first.flush()?;
        self.second.flush()
    }

    /// Only the one that people look at may have a terminal for itself.
    fn inputs(&mut self) -> Option<Inputs> {
        self.first.inputs()
    }

    fn input(&mut self, clock: &Clock, book: &Book, input: Input) -> io::Result<Flow> {
        self.first.input(clock, book, input)
    }

    fn notice(&mut self, text: &str) {
        self.first.notice(text);
        self.second.notice(text);
    }

    fn played(&mut self, playing: Playing) {
        self.first.played(playing);
        self.second.played(playing);
    }

    fn end(
        &mut self,
        clock: &Clock,
        book: &Book,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let first = self.first.end(clock, book, summaries, end);
        let second = self.second.end(clock, book, summaries, end);
        // That the report was not written is worse than a closed pipe.
        second.and(first)
    }
}
