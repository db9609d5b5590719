//! `--record`: writes a run to a file while it happens, so that `replay` can show it on any
//! machine. A write error is reported once, and tracing continues.
//!
//! `line` defines the format, `memory` leaves out what has not changed, `sink` writes the file, and
//! `ring` keeps a recording in memory for the reports of a service.

pub(crate) mod ring;
pub(crate) mod sink;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use backlog_core::clock::{Clock, Mark};
use backlog_core::event::{Event, What};
use backlog_core::model::Model;
use backlog_core::model::reconcile::Blind;
use backlog_core::model::snapshot::ModelSnapshot;
use backlog_core::recording::line::{FORMAT, Header, Line, Same, Step};
use backlog_core::recording::memory::Memory;
use backlog_core::recording::options::ReplayOptions;
use backlog_core::run::{End, Meta};

use crate::output::place::Place;
use ring::Ring;
use sink::Sink;

/// The options of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordOptions {
    /// The file.
    pub(crate) path: PathBuf,
    /// Rotate the file at this size in bytes.
    pub(crate) rotate: Option<u64>,
    /// How many rotated files to keep.
    pub(crate) keep: u32,
}

/// The longest time that data stays in buffers, so a kill loses about this much.
const FLUSH: Duration = Duration::from_secs(1);

/// Records a run, or does nothing if `--record` was not given.
#[derive(Default)]
pub(crate) struct Recorder {
    open: Option<Recording>,
    /// Why recording stopped.
    failure: Option<String>,
    /// The failure has not been reported yet.
    failure_unreported: bool,
}

struct Recording {
    /// None: records to memory.
    wanted: Option<RecordOptions>,
    sink: Sink,
    /// The start of the run; None before it.
    header: Option<Header>,
    /// The clocks' offset when it was last written.
    mark: Option<Mark>,
    memory: Memory,
    /// Repeated events that are not written yet.
    same: Option<Same>,
    /// Reused between lines.
    buffer: Vec<u8>,
    /// When buffered data must be flushed; None if there is none.
    due: Option<Instant>,
}

impl Recorder {
    /// Creates the file before anything is attached, so that a wrong name is reported immediately.
    /// It has a temporary name until the run begins, so a run that cannot trace replaces nothing.
    pub(crate) fn create(wanted: Option<&RecordOptions>) -> Result<Self> {
        let Some(wanted) = wanted else { return Ok(Self::default()) };
        let path = wanted.path.display();
        if wanted.rotate.is_some() && Place::of(&wanted.path) != Place::Name {
            bail!("--record-rotate: {path} is not a regular file and cannot be renamed");
        }
        let sink = Sink::create(&wanted.path)
            .with_context(|| format!("--record: cannot create {path}"))?;
        let open = Recording::new(Some(wanted.clone()), sink);
        Ok(Self { open: Some(open), ..Self::default() })
    }

    /// Records to memory from this time on.
    pub(crate) fn in_memory(ring: &Ring, time_ns: u64) -> Result<Self> {
        let sink = Sink::memory(ring.begin(time_ns).context("recording to memory")?);
        Ok(Self { open: Some(Recording::new(None, sink)), ..Self::default() })
    }

    /// Publishes the file and writes its header.
    pub(crate) fn start(&mut self, clock: &Clock, meta: &Meta, options: ReplayOptions) {
        self.write(|recording| {
            recording.mark = Some(clock.newest());
            let header = Header {
                format: FORMAT,
                part: 0,
                meta: meta.clone(),
                clock: clock.latest(),
                options,
            };
            recording.sink.publish()?;
            recording.head(header)?;
            recording.sink.flush()
        });
    }

    /// Records a comparison of the clocks: the step of the wall clock, and when it was reported.
    pub(crate) fn clock(&mut self, clock: &Clock, set: Option<(u64, i128)>) {
        let mark = clock.newest();
        self.write(|recording| recording.clock(mark, set));
    }

    /// Records an event before it is applied to the model.
    pub(crate) fn event(&mut self, event: &Event) {
        self.write(|recording| recording.event(event));
    }

    /// Records the end of an interval.
    pub(crate) fn interval(&mut self, time_ns: u64, blind: &Blind) {
        self.write(|recording| {
            recording.step(&Step::Interval { time_ns, blind: *blind })?;
            recording.memory.end_interval();
            recording.flush()
        });
    }

    /// Records the early end of the last interval.
    pub(crate) fn rest(&mut self, time_ns: u64) {
        self.write(|recording| recording.step(&Step::Rest { time_ns }));
    }

    /// Records a message.
    pub(crate) fn notice(&mut self, time_ns: u64, text: &str) {
        self.write(|recording| recording.step(&Step::Notice { time_ns, text: text.to_owned() }));
    }

    /// Records the end of the run, and closes the file.
    pub(crate) fn end(&mut self, end: &End) {
        self.write(|recording| {
            recording.step(&Step::End(Box::new(end.clone())))?;
            recording.sink.finish()
        });
        self.open = None;
    }

    /// Ends a batch of events: rotates the file if it is full.
    pub(crate) fn batch(&mut self, clock: &Clock, model: &Model, time_ns: u64) {
        self.write(|recording| match recording.wanted.as_ref().map(|wanted| wanted.rotate) {
            Some(Some(most)) if recording.sink.bytes() >= most => {
                recording.rotate(clock, model, time_ns)
            }
            Some(_) => Ok(()),
            None => recording.next_part(clock, model, time_ns),
        });
    }

    /// When buffered data must be flushed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.as_ref()?.due
    }

    /// Flushes buffered data.
    pub(crate) fn flush(&mut self) {
        self.write(Recording::flush);
    }

    /// Why the recording is incomplete.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The reason once, when it is new.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        let failure_unreported = std::mem::take(&mut self.failure_unreported);
        failure_unreported.then(|| self.failure.clone()).flatten()
    }

    fn write(&mut self, write: impl FnOnce(&mut Recording) -> io::Result<()>) {
        let Some(recording) = &mut self.open else { return };
        if let Err(error) = write(recording) {
            let path = recording.wanted.as_ref().map(|wanted| wanted.path.display());
            let name = path.map_or_else(|| "in memory".to_owned(), |path| path.to_string());
            self.failure = Some(format!("the recording {name} is incomplete: {error}"));
            self.failure_unreported = true;
            self.open = None;
        }
    }
}

impl Recording {
    fn new(wanted: Option<RecordOptions>, sink: Sink) -> Self {
        Self {
            wanted,
            sink,
            header: None,
            mark: None,
            memory: Memory::default(),
            same: None,
            buffer: Vec::new(),
            due: None,
        }
    }

    fn head(&mut self, header: Header) -> io::Result<()> {
        self.header = Some(header.clone());
        self.line(&Line::Header(Box::new(header)))
    }

    fn clock(&mut self, mark: Mark, set: Option<(u64, i128)>) -> io::Result<()> {
        if self.mark == Some(mark) && set.is_none() {
            return Ok(());
        }
        self.mark = Some(mark);
        self.step(&Step::Clock { mark, set })
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let Event { time_ns, what } = event;
        let Some((of, id)) = self.memory.note(what) else {
            self.same_ends()?;
            return self.line(&Line::Event(Cow::Borrowed(event)));
        };
        // Counts are read one after the other; other repeated events share a time.
        let matches = |same: &Same| {
            same.of == of && (same.time_ns == *time_ns || matches!(what, What::Count { .. }))
        };
        if !self.same.as_ref().is_some_and(matches) {
            self.same_ends()?;
        }
        self.same.get_or_insert(Same { time_ns: *time_ns, of, ids: Vec::new() }).add(id);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        self.same_ends()?;
        self.line(&Line::Step(Cow::Borrowed(step)))
    }

    fn same_ends(&mut self) -> io::Result<()> {
        match self.same.take() {
            Some(same) => self.line(&Line::Same(same)),
            None => Ok(()),
        }
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.due.get_or_insert_with(|| Instant::now() + FLUSH);
        self.sink.write_all(&self.buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.due = None;
        self.sink.flush()
    }

    /// Starts another file, which can be read without the earlier ones.
    fn rotate(&mut self, clock: &Clock, model: &Model, time_ns: u64) -> io::Result<()> {
        let Some(keep) = self.wanted.as_ref().map(|wanted| wanted.keep) else { return Ok(()) };
        self.same_ends()?;
        self.sink.finish()?;
        self.sink = self.sink.next(keep)?;
        self.restore(clock, model, time_ns, model.snapshot())
    }

    /// Starts another part in memory, if this one is full.
    fn next_part(&mut self, clock: &Clock, model: &Model, time_ns: u64) -> io::Result<()> {
        if !self.sink.is_full(time_ns) {
            return Ok(());
        }
        self.same_ends()?;
        self.sink.next_part(time_ns)?;
        // Reports begin there, with counts of their own.
        self.restore(clock, model, time_ns, ModelSnapshot::default())
    }

    /// Writes the whole state at the beginning of a file.
    fn restore(
        &mut self,
        clock: &Clock,
        model: &Model,
        time_ns: u64,
        past: ModelSnapshot,
    ) -> io::Result<()> {
        let Some(header) = self.header.clone() else { return Ok(()) };
        self.memory = Memory::default();
        self.head(Header { part: header.part + 1, clock: clock.latest(), ..header })?;
        for event in backlog_core::recording::snapshot::events(model, time_ns) {
            self.event(&event)?;
        }
        self.step(&Step::Begin { time_ns, past: Box::new(past) })?;
        self.flush()
    }
}

/// The file names of a recording, the newest first.
pub(crate) fn parts(path: &Path) -> impl Iterator<Item = PathBuf> {
    (0..).map(move |before| sink::part(path, before))
}
