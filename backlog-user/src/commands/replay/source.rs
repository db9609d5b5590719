//! Reads a recording as a sequence of steps, from its files, the oldest first. Their content is
//! untrusted: unreadable lines are counted, missing files are reported, and exceeding a bound ends
//! the reading.

use std::iter::FlatMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::vec::IntoIter;

use anyhow::Result;
use backlog_core::event::Event;
use backlog_core::model::reconcile::Blind;
use backlog_core::recording::bounds::{self, Beyond};
use backlog_core::recording::line::{Header, Line, Of, Same, Step};
use backlog_core::recording::memory::Memory;
use backlog_core::run::End;

use super::files::Files;
use crate::bpf::self_cost::resident;

/// The steps of a recording, in order.
pub(crate) struct Source {
    files: Files,
    memory: Memory,
    /// All events up to the next other kind of step are known already, since a new file repeats
    /// them.
    known: bool,
    /// The step of the last line, until it is returned.
    waiting: Option<Step>,
    /// The rest of the last line, if it repeats events. They are created one at a time, since a
    /// short line can repeat a long value any number of times.
    repeats: Option<Repeats>,
    /// The start of the run.
    start_ns: u64,
    last_ns: u64,
    blind: Blind,
    ended: bool,
    unreadable: u64,
    remarks: Vec<String>,
    pub(super) text: Text,
}

/// The text that was read so far, and its bound.
pub(super) struct Text {
    bytes: u64,
    most_bytes: u64,
    /// Bytes since the last check of the memory, and the function that reads it.
    unchecked: u64,
    pub(super) resident: fn() -> Option<u64>,
}

/// The memory is checked after this many bytes of text and repeated values.
const CHECK_EVERY: u64 = 8 << 20;

impl Default for Text {
    fn default() -> Self {
        let most_bytes = bounds::TEXT_BYTES;
        Self { bytes: 0, most_bytes, unchecked: 0, resident }
    }
}

impl Text {
    /// The same with another bound.
    #[cfg(test)]
    pub(super) fn up_to(most_bytes: u64) -> Self {
        Self { most_bytes, ..Self::default() }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Beyond> {
        self.bytes += line.len() as u64;
        if self.bytes > self.most_bytes {
            return Err(Beyond::in_length("more bytes of text", self.most_bytes));
        }
        self.check_memory(line.len() as u64)
    }

    /// Checks the memory if enough bytes of text or repeated values were added since the last
    /// check.
    fn check_memory(&mut self, bytes: u64) -> Result<(), Beyond> {
        self.unchecked += bytes;
        if self.unchecked < CHECK_EVERY {
            return Ok(());
        }
        self.unchecked = 0;
        let bytes = (self.resident)().unwrap_or(0);
        bounds::check("a content that takes more bytes of memory", bytes, bounds::MEMORY_BYTES)
    }
}

/// The rest of a `same` line.
struct Repeats {
    time_ns: u64,
    of: Of,
    ids: Ids,
}

/// The listener IDs in the ranges of a `same` line.
type Ids =
    FlatMap<IntoIter<(u64, u64)>, RangeInclusive<u64>, fn((u64, u64)) -> RangeInclusive<u64>>;

impl Repeats {
    fn of(Same { time_ns, of, ids }: Same) -> Self {
        Self { time_ns, of, ids: ids.into_iter().flat_map(|(from, to)| from..=to) }
    }
}

impl Source {
    /// Opens a recording, including the older files of a rotated one; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<(Header, Self)> {
        let (first, files) = Files::open(path)?;
        let source = Self::of(&first, files);
        Ok((first, source))
    }

    /// Reads a recording from memory.
    #[cfg(feature = "bench")]
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Result<(Header, Self)> {
        Self::of_parts([bytes])
    }

    /// Reads a recording from several parts in memory, the oldest first.
    pub(crate) fn of_parts(
        parts: impl IntoIterator<Item = impl AsRef<[u8]> + 'static>,
    ) -> Result<(Header, Self)> {
        let (first, files) = Files::of_parts(parts)?;
        let source = Self::of(&first, files);
        Ok((first, source))
    }

    fn of(header: &Header, files: Files) -> Self {
        let mut remarks = Vec::new();
        if header.part > 0 {
            remarks.push(
                "the recording's first files are gone: earlier events are only in the sums, and \
                 a retry of a client that was refused then counts as another client"
                    .to_owned(),
            );
        }
        Self {
            files,
            memory: Memory::default(),
            known: false,
            waiting: None,
            repeats: None,
            start_ns: header.meta.time_ns,
            last_ns: header.meta.time_ns,
            blind: Blind::default(),
            ended: false,
            unreadable: 0,
            remarks,
            text: Text::default(),
        }
    }

    /// The problems of the recording so far.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.clone();
        match self.unreadable {
            0 => {}
            1 => remarks.push("a line could not be read and was skipped".to_owned()),
            count => remarks.push(format!("{count} lines could not be read and were skipped")),
        }
        remarks
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Beyond> {
        match line {
            // A header is valid only as the first line.
            Line::Header(_) => self.unreadable += 1,
            Line::Event(event) => {
                let event = event.into_owned();
                bounds::event(&event)?;
                self.memory.note(&event.what);
                let remembered = self.memory.len();
                bounds::check("more values to repeat", remembered, bounds::REMEMBERED)?;
                self.wait(Step::Event(event));
            }
            Line::Same(same) => self.again(same)?,
            Line::Step(step) => {
                let step = step.into_owned();
                match &step {
                    Step::Interval { blind, .. } => {
                        self.blind = *blind;
                        self.memory.end_interval();
                    }
                    Step::End(_) => self.ended = true,
                    _ => {}
                }
                let known = std::mem::take(&mut self.known);
                if !(known && matches!(step, Step::Begin { .. })) {
                    self.wait(step);
                }
            }
        }
        Ok(())
    }

    /// Queues a step, unless it is known already: such steps may make up most of a file.
    fn wait(&mut self, step: Step) {
        if !self.known {
            self.waiting = Some(step);
        }
    }

    /// Processes a line that repeats events.
    fn again(&mut self, same: Same) -> Result<(), Beyond> {
        bounds::check("a line that repeats more events", same.count(), bounds::REPEATED)?;
        self.repeats = Some(Repeats::of(same));
        Ok(())
    }

    /// Queues the next event that the last line repeats, if there is another one.
    fn repeat(&mut self) -> Result<(), Beyond> {
        let Some(repeats) = &mut self.repeats else { return Ok(()) };
        let Some(id) = repeats.ids.next() else {
            self.repeats = None;
            return Ok(());
        };
        let Repeats { time_ns, of, .. } = *repeats;
        let Some(what) = self.memory.recall(of, id) else {
            // The line with the original could not be read either.
            self.unreadable += 1;
            self.repeats = None;
            return Ok(());
        };
        if !self.known {
            self.text.check_memory(bounds::size(what))?;
            self.waiting = Some(Step::Event(Event { time_ns, what: what.clone() }));
        }
        Ok(())
    }

    /// The end of a run whose recording has none, as far as it is known.
    fn cut_short(&mut self) -> Step {
        self.ended = true;
        let why = "the recording ends before the run did".to_owned();
        self.remarks.push(format!("{why}: the summary covers what was read"));
        let mut end = End {
            time_ns: self.last_ns,
            elapsed_ns: self.last_ns.saturating_sub(self.start_ns),
            blind: self.blind,
            recording_incomplete: Some(why),
            ..End::default()
        };
        end.stray.no_slot = self.blind.no_slot;
        end.stray.closed = self.blind.at_closed;
        Step::End(Box::new(end))
    }

    /// Completes a step before it is returned.
    fn give(&mut self, mut step: Step) -> Step {
        if let Step::End(end) = &mut step {
            end.remarks = self.remarks();
        }
        self.last_ns = self.last_ns.max(step.time_ns().unwrap_or(0));
        step
    }
}

impl Iterator for Source {
    type Item = Result<Step, Beyond>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(step) = self.waiting.take() {
                return Some(Ok(self.give(step)));
            }
            if self.repeats.is_none() && self.files.is_empty() {
                if self.ended {
                    return None;
                }
                let end = self.cut_short();
                return Some(Ok(self.give(end)));
            }
            let more = if self.repeats.is_some() { self.repeat() } else { self.read() };
            if let Err(beyond) = more {
                self.files = Files::default();
                self.repeats = None;
                self.ended = true;
                return Some(Err(beyond));
            }
        }
    }
}

impl Source {
    /// Reads a line, or moves on to the next file.
    fn read(&mut self) -> Result<(), Beyond> {
        let Some(file) = self.files.current()? else { return Ok(()) };
        let Some(line) = file.next()? else {
            let cut = file.cut.take();
            self.remarks.extend(cut.map(|why| format!("the recording: {why}")));
            self.files.end_current();
            // The next file begins with the whole state.
            self.memory = Memory::default();
            self.known = true;
            return Ok(());
        };
        self.text.add(line)?;
        bounds::form(line)?;
        match serde_json::from_slice(line) {
            Ok(line) => self.take(line)?,
            Err(_) => self.unreadable += 1,
        }
        bounds::check("more lines that cannot be read", self.unreadable, bounds::UNREADABLE)
    }
}
