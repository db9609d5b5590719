//! Feeds a sink with the steps of a recorded run, through the same presenter as a live run. A
//! caller that controls speed or position takes the steps at its own pace.

use std::io;
use std::time::Duration;

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::recording::bounds::{self, Beyond};
use backlog_core::recording::line::{Header, Step};

use crate::commands::show::Presenter;
use crate::output::sink::Sink;

/// Replays a run.
pub(crate) struct Player {
    run: Presenter,
    /// Length of the displayed intervals, which combine recorded ones.
    every_ns: u64,
    /// When the last recorded interval ended, and the last displayed one.
    ended_ns: u64,
    shown_ns: u64,
    /// The remaining budget of work.
    pub(super) work: u64,
}

impl Player {
    /// Processes the start of the run.
    pub(crate) fn start(
        header: &Header,
        every: Option<Duration>,
        sink: &mut dyn Sink,
    ) -> io::Result<Self> {
        let start_ns = header.meta.time_ns;
        let mut run = Presenter::new(header.clock.clone(), start_ns, header.options);
        run.begin(sink, &header.meta)?;
        Ok(Self {
            run,
            every_ns: every.map_or(0, |every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)),
            ended_ns: start_ns,
            shown_ns: start_ns,
            work: bounds::WORK,
        })
    }

    /// The model that the sink sees.
    pub(crate) fn model(&self) -> &Model {
        self.run.model()
    }

    /// The clock that converts times to wall-clock times.
    pub(crate) fn clock(&self) -> &Clock {
        self.run.clock()
    }

    /// Processes the next step.
    pub(crate) fn step(&mut self, sink: &mut dyn Sink, step: Step) -> io::Result<()> {
        self.work(&step).map_err(io::Error::other)?;
        self.apply(sink, step)?;
        self.check().map_err(io::Error::other)
    }

    /// Charges the work that a step causes against the budget: a line of 50 bytes may touch the
    /// whole state, or repeat a long value.
    fn work(&mut self, step: &Step) -> Result<(), Beyond> {
        let work = match step {
            Step::Begin { .. } | Step::Interval { .. } | Step::Rest { .. } => {
                let (listeners, namespaces) = self.model().known();
                1 + listeners as u64 + namespaces as u64
            }
            Step::Event(event) => 1 + (bounds::size(&event.what) >> 10),
            _ => 1,
        };
        let left = self.work.checked_sub(work);
        self.work = left.ok_or_else(|| Beyond::in_length("more steps", bounds::WORK))?;
        Ok(())
    }

    /// Checks the bounds of everything that a step may grow.
    fn check(&self) -> Result<(), Beyond> {
        let (listeners, namespaces) = self.model().known();
        bounds::check("more listeners at a time", listeners, bounds::LISTENERS)?;
        bounds::check("more network namespaces at a time", namespaces, bounds::NAMESPACES)?;
        bounds::check("more comparisons of the clocks", self.clock().marks(), bounds::CLOCK_MARKS)
    }

    fn apply(&mut self, sink: &mut dyn Sink, step: Step) -> io::Result<()> {
        let run = &mut self.run;
        match step {
            Step::Event(event) => run.event(sink, &event).map(drop),
            Step::Clock { mark, set } => {
                run.clock_mut().note(mark);
                set.map_or(Ok(()), |set| run.clock_set(sink, set))
            }
            Step::Begin { time_ns, past } => {
                run.model_mut().resume(time_ns, &past);
                (self.ended_ns, self.shown_ns) = (time_ns, time_ns);
                Ok(())
            }
            Step::Interval { time_ns, blind } => {
                let half_ns = time_ns.saturating_sub(self.ended_ns) / 2;
                self.ended_ns = time_ns;
                // This end is closer to the wanted length than the next one will be.
                if time_ns.saturating_sub(self.shown_ns).saturating_add(half_ns) < self.every_ns {
                    return Ok(());
                }
                self.shown_ns = time_ns;
                run.interval(sink, time_ns, &blind).map(drop)
            }
            Step::Rest { time_ns } => run.rest(sink, time_ns),
            Step::Notice { .. } => Ok(()),
            Step::End(end) => run.end(sink, *end),
        }
    }
}
