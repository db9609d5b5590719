//! The sinks of a run: the outputs and the recording. Both get the same updates in the same order.

use std::io;

use backlog_core::clock::Clock;
use backlog_core::event::Event;
use backlog_core::model::high_use::HighUse;
use backlog_core::model::interval::Interval;
use backlog_core::model::reconcile::Blind;
use backlog_core::model::{Model, News};
use backlog_core::run::{End, Health, Meta};
use backlog_core::text::outside::safe;

use crate::cli::options::Options;
use crate::clock::{self, monotonic_ns};
use crate::commands::show::Presenter;
use crate::notice::notice;
use crate::outlet::Outlet;
use crate::output::Flow;
use crate::output::outputs::Outputs;
use crate::output::record::Recorder;
use crate::output::sink::Sink as _;
use crate::output::tui::Tui;
use crate::output::tui::inputs::{Input, Inputs};

/// See the module documentation.
pub(super) struct Sinks {
    run: Presenter,
    outputs: Outputs,
    recorder: Recorder,
    stdout: Outlet,
}

/// The destinations of a run.
pub(crate) struct Destinations {
    pub(crate) outputs: Outputs,
    pub(crate) recorder: Recorder,
    /// The outlet that the outputs write to.
    pub(crate) stdout: Outlet,
}

impl Sinks {
    /// Shows and records the start of the run.
    pub(super) fn begin(
        options: &Options,
        clock: Clock,
        meta: &Meta,
        Destinations { mut outputs, mut recorder, stdout }: Destinations,
    ) -> io::Result<Self> {
        let mut run = Presenter::new(clock, meta.time_ns, options.replay);
        run.begin(&mut outputs, meta)?;
        recorder.start(run.clock(), meta, options.replay);
        Ok(Self { run, outputs, recorder, stdout })
    }

    /// The model of the run.
    pub(super) fn model(&self) -> &Model {
        self.run.model()
    }

    /// Compares the clocks, since the wall clock may have been stepped.
    pub(super) fn compare_clocks(&mut self) -> io::Result<()> {
        let step = clock::compare(self.run.clock_mut());
        let set = step.map(|step_ns| (monotonic_ns(), step_ns));
        self.recorder.clock(self.run.clock(), set);
        set.map_or(Ok(()), |set| self.run.clock_set(&mut self.outputs, set))
    }

    /// Records an event, applies it, and shows what it changed.
    pub(super) fn event(&mut self, event: &Event) -> io::Result<Option<News>> {
        self.recorder.event(event);
        self.run.event(&mut self.outputs, event)
    }

    /// Prints and records a message that belongs to the run.
    pub(super) fn notice(&mut self, text: &str) {
        self.recorder.notice(monotonic_ns(), text);
        // Escaped as in a replay.
        notice(&safe(text));
    }

    /// Ends an interval with its rows. Later events belong to the next interval, also in the
    /// recording, which is rotated here if the file is full.
    pub(super) fn interval(&mut self, time_ns: u64, blind: &Blind) -> io::Result<Vec<Interval>> {
        let rows = self.run.interval(&mut self.outputs, time_ns, blind)?;
        self.recorder.interval(time_ns, blind);
        self.recorder.batch(self.run.clock(), self.run.model(), time_ns);
        Ok(rows)
    }

    /// Does an output show the state of the tool itself?
    pub(super) fn monitors(&self) -> bool {
        self.outputs.monitors()
    }

    /// Passes the state of the tool to the outputs.
    pub(super) fn health(&mut self, time_ns: u64, health: &Health) -> io::Result<()> {
        self.run.health(&mut self.outputs, time_ns, health)
    }

    /// Ends the last, incomplete interval.
    pub(super) fn rest(&mut self, time_ns: u64) -> io::Result<()> {
        self.recorder.rest(time_ns);
        self.run.rest(&mut self.outputs, time_ns)
    }

    /// Ends a batch of events: flushes the outputs, and rotates the recording if the file is full.
    pub(super) fn end_batch(&mut self, time_ns: u64) -> io::Result<()> {
        self.recorder.batch(self.run.clock(), self.run.model(), time_ns);
        self.run.flush(&mut self.outputs)?;
        self.complain();
        Ok(())
    }

    /// Ends the run with the summary. Returns whether the recording is incomplete.
    pub(super) fn end(&mut self, end: End) -> io::Result<bool> {
        self.recorder.end(&end);
        self.complain();
        let recording_incomplete = self.recorder.failure().map(str::to_owned);
        let incomplete = recording_incomplete.is_some();
        self.run.end(&mut self.outputs, End { recording_incomplete, ..end })?;
        Ok(incomplete)
    }

    /// Have the drops of `--until-drop` occurred?
    pub(super) fn has_dropped_enough(&self) -> bool {
        self.run.has_dropped_enough()
    }

    /// Where the first period of high use began, if there was one.
    pub(super) fn first_high_use(&self) -> Option<&HighUse> {
        self.run.first_high_use()
    }

    /// When recorded data must be flushed.
    pub(super) fn recording_due(&self) -> Option<std::time::Instant> {
        self.recorder.due()
    }

    /// Flushes the recording.
    pub(super) fn flush_recording(&mut self) {
        self.recorder.flush();
    }

    /// Input of the full screen: keys, and changes of the terminal.
    pub(super) fn inputs(&mut self) -> Option<Inputs> {
        self.outputs.tui().and_then(Tui::inputs)
    }

    /// Handles a key, or a change of the terminal.
    pub(super) fn input(&mut self, input: Input) -> io::Result<Flow> {
        match self.outputs.tui() {
            Some(tui) => tui.input(self.run.model(), input),
            None => Ok(Flow::On),
        }
    }

    /// Logs once if recording has failed, or if the reader of stdout has stalled.
    fn complain(&mut self) {
        if let Some(text) = self.stdout.news() {
            notice(&format!("stdout: {text}"));
        }
        if let Some(text) = self.recorder.complaint() {
            notice(&format!("{text}; tracing continues without it"));
        }
    }
}
