//! The end of a run: the last records, counts and queued connections, and the summary.

use anyhow::Result;
use backlog_core::run::End;

use super::Session;
use super::queued::look_at_queues;
use crate::cli::Output;
use crate::commands::trace::enrichers::Enrichers;
use crate::exit::Outcome;
use crate::outlet;

impl Session<'_> {
    /// Processes the last records, counts and queued connections, and shows the summary.
    pub(super) fn finish(&mut self) -> Result<Outcome> {
        self.guard.end();
        self.guard.stage("taking the last records");
        self.enrich(Enrichers::end_accept_probe)??;
        // Processes that have just opened listeners must be checked as well.
        self.catch_up()?;
        self.guard.stage("reading the kernel's counters");
        // What follows takes a second and does not belong to the run.
        let (reading, missed) = self.enrich(Enrichers::stop)??;
        let time_ns = reading.time_ns;
        let mut cost = self.own.end();
        self.guard.stage("detaching the programs");
        self.live.get_mut().detach();
        // A slow reader may delay the output again.
        outlet::hurry(false);
        self.guard.stage("reading the programs' last counts");
        self.take_the_rest()?;
        let live = self.live.get_mut();
        live.discover(&mut self.queue.events);
        live.leftovers()?;
        live.count(&mut self.queue.events)?;
        let stray = live.stray_at_end(self.options.filter.by_owner());
        let decode_errors = live.decode_errors();
        let start_ns = self.start_ns;
        self.enrich(|enrichers, context| enrichers.compare(&reading, context))?;
        self.enrich(|_, context| look_at_queues(context, start_ns, time_ns))?;
        self.enrich(|enrichers, context| enrichers.end_namespaces(&reading, context))?;
        self.guard.stage("looking for the owners of the listeners in /proc");
        self.enrich(|enrichers, context| enrichers.identify(time_ns, true, context))?;
        self.guard.stage("writing the summary");
        // Show the last, incomplete interval. A run that has reached COUNT has none.
        if self.options.count.is_none_or(|limit| self.intervals < limit) {
            self.sinks.rest(time_ns)?;
        }
        cost.connections = self.connections();
        cost.looks = self.enrichers.looks();
        let end = End {
            time_ns,
            // The run may have been stopped before it began.
            elapsed_ns: time_ns.saturating_sub(self.start_ns),
            stray,
            decode_errors,
            missed,
            blind: self.blind(missed),
            cost,
            command: self.command,
            ..End::default()
        };
        self.say_high_use();
        let incomplete = self.sinks.end(end)?;
        Ok(self.outcome(incomplete))
    }

    /// Takes the remaining records. This ends, since the programs have stopped.
    fn take_the_rest(&mut self) -> Result<()> {
        while !self.live.get_mut().drain(&mut self.queue.events) {
            self.dispatch()?;
        }
        Ok(())
    }

    /// The number of connections enqueued; None if some are missing from the sums, because their
    /// listeners were left out of the summary.
    fn connections(&self) -> Option<u64> {
        let model = self.sinks.model();
        (model.gone().active == 0).then(|| model.pages().map(|page| page.totals.enqueued).sum())
    }

    /// Logs what `--until-use` has waited for, if the output does not show it.
    fn say_high_use(&mut self) {
        let has_line = !self.options.tui && self.options.output != Output::Csv;
        let Some(high) =
            self.sinks.first_high_use().filter(|_| self.options.until_use && !has_line)
        else {
            return;
        };
        let page = self.sinks.model().get(high.listener);
        let name = page.map_or_else(String::new, |page| format!("{}: ", page.full_name()));
        let text = format!("--until-use: {name}{}", high.words());
        self.sinks.notice(&text);
    }

    fn outcome(&self, incomplete: bool) -> Outcome {
        if incomplete {
            Outcome::Unrecorded
        } else if self.sinks.has_dropped_enough() {
            Outcome::DropsSeen
        } else if self.options.until_use && self.sinks.first_high_use().is_some() {
            Outcome::HighUseSeen
        } else if self.command.is_some_and(|end| end.failed()) {
            Outcome::CommandFailed
        } else {
            Outcome::Done
        }
    }
}
