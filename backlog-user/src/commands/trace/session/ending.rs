//! The end of a run: the last records, counts and queued connections, and the summary.

use anyhow::Result;
use backlog_core::run::End;

use super::Session;
use crate::clock::monotonic_ns;
use crate::commands::show::{self};
use crate::exit::Outcome;
use crate::host::kernel_counters::{Ask, KernelCounters};

impl Session<'_> {
    /// The last records, counts and queued connections, and the summary.
    pub(super) fn finish(&mut self) -> Result<Outcome> {
        self.end_accept_probe()?;
        // Whose listeners have just been opened are to be asked as well.
        self.catch_up()?;
        let namespaces = self.kernel_counters.turn_of_all(&self.model.namespaces());
        let ask = |kernel_counters: &KernelCounters, what| {
            kernel_counters.ask(namespaces.iter().copied(), what)
        };
        let mut before = ask(&self.kernel_counters, Ask::All);
        before.update(ask(&self.kernel_counters, Ask::Counters));
        let missed = self.live.get_ref().missed();
        self.live.get_mut().end()?;
        // What follows takes a second and is no part of the run.
        let time_ns = monotonic_ns();
        let counters = ask(&self.kernel_counters, Ask::Counters);
        let mut after = ask(&self.kernel_counters, Ask::All);
        after.update(counters);
        let mut cost = self.own.end();
        let live = self.live.get_mut();
        live.detach();
        // Nothing is added any more, so this ends.
        while !self.live.get_mut().drain(&mut self.events) {
            self.write_down()?;
        }
        let live = self.live.get_mut();
        live.discover(&mut self.events);
        live.leftovers()?;
        live.count(&mut self.events)?;
        let stray = live.stray_at_end(self.options.filter.by_owner());
        let undecoded = live.undecoded();
        self.compare(&before, &after, time_ns)?;
        self.look_at_queues(time_ns)?;
        self.end_namespaces(&namespaces, &after, time_ns)?;
        self.identify(time_ns, true)?;
        // What is left of the last interval; with COUNT there is nothing.
        if self.options.count.is_none_or(|limit| self.intervals < limit) {
            self.recorder.rest(time_ns);
            show::rest(&mut self.outputs, &self.clock, &mut self.model, time_ns)?;
        }
        let elapsed_ns = time_ns - self.start_ns;
        let blind = self.blind(missed);
        let summaries = self.model.summaries();
        // Those of summaries that were left out are in no sum.
        cost.connections = (self.model.gone().active == 0)
            .then(|| summaries.iter().map(|summary| summary.page.totals.enqueued).sum());
        cost.looks = self.owners.looks();
        let command = self.command;
        let end = End {
            time_ns,
            elapsed_ns,
            stray,
            undecoded,
            missed,
            blind,
            cost,
            command,
            ..End::default()
        };
        self.recorder.end(&end);
        self.complain();
        let unrecorded = self.recorder.failure().map(str::to_owned);
        let incomplete = unrecorded.is_some();
        let end = End { unrecorded, ..end };
        show::end(&mut self.outputs, &self.clock, &self.model, end)?;
        Ok(if incomplete {
            Outcome::Unrecorded
        } else if self.drops_seen() {
            Outcome::DropsSeen
        } else if self.command.is_some_and(|end| end.failed()) {
            Outcome::CommandFailed
        } else {
            Outcome::Done
        })
    }
}
