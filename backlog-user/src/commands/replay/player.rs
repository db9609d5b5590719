//! Feeds a sink with the steps of a run: the same model and the same updates as when it was traced.
//! A caller that needs a speed or a position takes the steps at its own pace.

use std::io;
use std::time::Duration;

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::recording::line::{Header, Step};

use crate::commands::show::{self, DropLimiter};
use crate::output::sink::{Now, Sink, Update};

/// A run that is shown again.
pub(crate) struct Player {
    model: Model,
    clock: Clock,
    limiter: DropLimiter,
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
        sink: &mut dyn Sink,
    ) -> io::Result<Self> {
        let start_ns = header.meta.time_ns;
        let clock = header.clock.clone();
        let mut model = Model::new(start_ns);
        sink.update(Now { clock: &clock, model: &model }, &Update::Start(&header.meta))?;
        if sink.draws() {
            model.keep_timelines();
        }
        if let Some(timeout_ns) = header.client_timeout_ns {
            model.set_client_timeout(timeout_ns);
        }
        Ok(Self {
            model,
            clock,
            limiter: DropLimiter::new(header.until_drop),
            every_ns: every.map_or(0, |every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)),
            ended_ns: start_ns,
            shown_ns: start_ns,
        })
    }

    /// What the sink was given.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The times on the wall.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The next step.
    pub(crate) fn step(&mut self, sink: &mut dyn Sink, step: Step) -> io::Result<()> {
        let Self { model, clock, limiter, .. } = self;
        match step {
            Step::Event(event) => show::event(sink, clock, model, limiter, &event).map(drop),
            Step::Clock { mark, set } => {
                clock.note(mark);
                match set {
                    Some((time_ns, step_ns)) => {
                        let now = Now { clock, model };
                        sink.update(now, &Update::ClockSet { time_ns, step_ns })
                    }
                    None => Ok(()),
                }
            }
            Step::Begin { time_ns, past } => {
                model.resume(time_ns, &past);
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
                show::interval(sink, clock, model, time_ns, &blind).map(drop)
            }
            Step::Rest { time_ns } => show::rest(sink, clock, model, time_ns),
            Step::Notice { .. } => Ok(()),
            Step::End(end) => show::end(sink, clock, model, *end),
        }
    }
}
