//! A run: a source of events (the eBPF programs), enrichers that add what the programs cannot know,
//! and sinks. The main loop waits for the ring buffer, the interval, signals and the command, and
//! sleeps when nothing happens. All events pass through [`Session::dispatch`].

mod beginning;
mod ending;
mod interval;
mod notices;
mod queued;
mod waits;

use std::io::{self, ErrorKind::BrokenPipe};
use std::pin::pin;

use anyhow::{Context as _, Result, bail};
use backlog_core::run::Backend;
use backlog_core::run::command::CommandEnd;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::child::Waiting;
use super::clock_steps::Steps;
use super::enrichers::{Context, Enrichers};
use super::guard::Guard;
use super::on_event::Started;
use super::queue::Queue;
use super::signals::Signals;
use super::sinks::Sinks;
use crate::bpf::live::Live;
use crate::bpf::self_cost::Own;
use crate::cli::options::Options;
use crate::clock::monotonic_ns;
use crate::exit::Outcome;
use crate::output::Flow;
pub(super) use beginning::Parts;
use waits::{at, at_most, next, reader_gone, wait_for, watch_stdout};

/// See the module documentation.
pub(crate) struct Session<'a> {
    options: &'a Options,
    /// The source of events.
    live: AsyncFd<Live>,
    enrichers: Enrichers,
    sinks: Sinks,
    /// Events of the source and the enrichers that are not dispatched yet.
    queue: Queue,
    own: Own,
    start_ns: u64,
    backend: Backend,
    intervals: u64,
    /// How the command of `--cmd` ended.
    command: Option<CommandEnd>,
    /// Ends the run if this session is stuck.
    guard: Guard,
}

impl Session<'_> {
    /// Runs to the end, and shows the summary.
    pub(crate) async fn run(
        mut self,
        mut signals: Signals,
        command: Option<Waiting>,
        events: Option<Started>,
    ) -> Result<Outcome> {
        // If a signal has already ended the run, start nothing: the waiting process ends without
        // running the command.
        let command = command.filter(|_| !signals.has_come());
        let mut command = command.map(Waiting::start).transpose()?;
        if let Some(command) = &command {
            self.guard.command(command.group());
        }
        self.guard.begun(self.live.get_ref().switch(), self.options.duration);
        // The command may have ended before this.
        self.command =
            command.is_some().then(|| CommandEnd { stopped: true, ..CommandEnd::default() });
        let first = Instant::now() + self.options.interval;
        let mut tick = interval_at(first, self.options.interval);
        // After a pause (SIGSTOP), show one long interval instead of a burst of empty ones.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut duration = pin!(at_most(self.options.duration));
        let stdout = if self.options.service { None } else { watch_stdout() };
        let mut steps = Steps::watch();
        let mut inputs = self.sinks.inputs();
        let mut interrupted = false;
        while !self.is_over() {
            let probe_due = self.enrichers.accept_probe_due();
            tokio::select! {
                ready = self.live.readable_mut() => {
                    let mut ready = ready.context("waiting for the ring buffer")?;
                    if ready.get_inner_mut().drain(&mut self.queue.events) {
                        ready.clear_ready();
                    } else {
                        ready.retain_ready();
                    }
                    self.live.get_mut().retire_if_many(&mut self.queue.events)?;
                    self.dispatch()?;
                }
                _ = tick.tick() => self.end_interval()?,
                () = steps.next() => self.dispatch()?,
                () = at(self.sinks.recording_due()) => self.sinks.flush_recording(),
                () = at(probe_due) => self.enrich(Enrichers::end_accept_probe)??,
                input = next(inputs.as_mut()) => {
                    if self.sinks.input(input)? == Flow::End {
                        break;
                    }
                }
                ended = wait_for(command.as_mut()) => {
                    let ended = ended?;
                    if ended.failed() {
                        self.sinks.notice(&ended.to_string());
                    }
                    self.command = Some(ended);
                    break;
                }
                () = &mut duration => break,
                () = signals.any() => {
                    interrupted = true;
                    break;
                }
                () = reader_gone(stdout.as_ref()) => bail!(io::Error::from(BrokenPipe)),
            }
        }
        let guard = self.guard.clone();
        let outcome = self.finish();
        if let Some(command) = command {
            guard.stage("waiting for the end of --cmd");
            command.stop().await;
        }
        if let Some(events) = events {
            events.finish(&mut signals, interrupted, &guard).await;
        }
        outcome
    }

    fn is_over(&self) -> bool {
        self.sinks.has_dropped_enough()
            || (self.options.until_use && self.sinks.first_high_use().is_some())
            || self.options.count.is_some_and(|limit| self.intervals >= limit)
            || self.live.get_ref().is_stopped()
    }

    /// Dispatches all events in order: an enricher completes an event before it is applied and
    /// shown, and reacts to its changes. The events that this adds are dispatched as well, until
    /// none is left.
    fn dispatch(&mut self) -> Result<()> {
        let Self { live, enrichers, sinks, queue, .. } = self;
        let live = live.get_mut();
        sinks.compare_clocks()?;
        loop {
            queue.notices.drain(..).for_each(|text| sinks.notice(&text));
            if queue.events.is_empty() {
                break;
            }
            for mut event in queue.events.drain(..) {
                enrichers.complete(&mut event, live, sinks.model());
                if let Some(news) = sinks.event(&event)? {
                    enrichers.follow(&news, sinks.model());
                }
            }
            enrichers.explain(&mut Context { live, model: sinks.model(), queue });
        }
        Ok(sinks.end_batch(monotonic_ns())?)
    }

    /// Runs an enricher and dispatches the events that it adds.
    fn enrich<T>(&mut self, step: impl FnOnce(&mut Enrichers, &mut Context<'_>) -> T) -> Result<T> {
        let Self { live, enrichers, sinks, queue, .. } = self;
        let mut context = Context { live: live.get_mut(), model: sinks.model(), queue };
        let done = step(enrichers, &mut context);
        self.dispatch()?;
        Ok(done)
    }
}
