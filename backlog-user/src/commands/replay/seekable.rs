//! A recording that can be played up to any time: forward from the current position, or from the
//! beginning to go back. It has no clock: the caller gives the target time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::recording::line::{Header, Step};
use tempfile::NamedTempFile;

use super::player::Player;
use super::source::Source;
use crate::output::sink::{Now, Sink, Update};

/// The maximum size of a recording from stdin, which must be copied. A larger one must be saved to
/// a file first.
const MOST: u64 = 4 << 30;

/// A recording that can be read repeatedly.
pub(super) struct SeekableRecording {
    path: PathBuf,
    /// The copy of stdin, which is deleted on drop.
    _copy: Option<NamedTempFile>,
    pub(super) header: Header,
    /// Begin and end of the recording, in the run's monotonic time.
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    /// Length of the run's first interval.
    pub(super) interval: Duration,
}

impl SeekableRecording {
    /// Reads the whole recording once to find its end.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let copy = (path == Path::new("-")).then(|| copy(io::stdin())).transpose()?;
        let path = copy.as_ref().map_or(path, NamedTempFile::path).to_owned();
        let (header, source) = Source::open(&path)?;
        let start_ns = header.meta.time_ns;
        let (mut begin_ns, mut end_ns, mut first_ns) = (start_ns, start_ns, None);
        for step in source {
            let step = step?;
            end_ns = end_ns.max(step.time_ns().unwrap_or(0));
            match step {
                Step::Begin { time_ns, .. } => begin_ns = time_ns,
                Step::Interval { time_ns, .. } => {
                    first_ns.get_or_insert(time_ns.saturating_sub(begin_ns));
                }
                _ => {}
            }
        }
        let interval = Duration::from_nanos(first_ns.unwrap_or(1_000_000_000));
        Ok(Self { path, _copy: copy, header, begin_ns, end_ns, interval })
    }

    fn source(&self) -> Result<Source> {
        let (header, source) = Source::open(&self.path)?;
        if header.is_of_run(&self.header) && header.part == self.header.part {
            return Ok(source);
        }
        bail!("{} changed while it was replayed: restart the replay", self.path.display());
    }
}

/// Copies a pipe, which can only be read once, to a temporary file.
fn copy(from: impl io::Read) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new().context("making a temporary file for stdin")?;
    let cure = "make a file of it, and replay that";
    let copied = io::copy(&mut from.take(MOST), file.as_file_mut())
        .with_context(|| format!("copying stdin to {} ({cure})", file.path().display()))?;
    if copied == MOST {
        bail!("stdin has more than {MOST} bytes: {cure}");
    }
    Ok(file)
}

/// See the module documentation.
pub(super) struct Playback<'a> {
    recording: &'a SeekableRecording,
    every: Option<Duration>,
    source: Source,
    player: Player,
    next: Option<Step>,
    /// The time of the last step played.
    reached_ns: u64,
}

impl<'a> Playback<'a> {
    /// Starts at the beginning, before any step is played.
    pub(super) fn start(
        recording: &'a SeekableRecording,
        every: Option<Duration>,
        sink: &mut dyn Sink,
    ) -> Result<Self> {
        let mut source = recording.source()?;
        let player = Player::start(&recording.header, every, sink)?;
        let next = source.next().transpose()?;
        Ok(Self { recording, every, source, player, next, reached_ns: 0 })
    }

    pub(super) fn model(&self) -> &Model {
        self.player.model()
    }

    pub(super) fn clock(&self) -> &Clock {
        self.player.clock()
    }

    /// The time of the last step played.
    pub(super) fn reached_ns(&self) -> u64 {
        self.reached_ns
    }

    /// When the next step is due.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let step = self.next.as_ref()?;
        Some(step.time_ns().unwrap_or(0).max(self.reached_ns))
    }

    /// Plays the steps up to this time, except for the end of the run. Returns false if the
    /// deadline passed first.
    pub(super) fn play(
        &mut self,
        sink: &mut dyn Sink,
        until_ns: u64,
        deadline: Option<Instant>,
    ) -> io::Result<bool> {
        while let Some(due_ns) = self.due_ns().filter(|due_ns| *due_ns <= until_ns) {
            if matches!(self.next, Some(Step::End(_))) {
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            let next = self.source.next().transpose().map_err(io::Error::other)?;
            let step = std::mem::replace(&mut self.next, next);
            self.reached_ns = due_ns;
            match step {
                Some(Step::Notice { text, .. }) => {
                    let now = Now { clock: self.player.clock(), model: self.player.model() };
                    sink.update(now, &Update::Notice(&text))?;
                }
                Some(step) => self.player.step(sink, step)?,
                None => {}
            }
        }
        Ok(true)
    }

    /// Moves to another time without drawing what is in between.
    pub(super) fn seek(&mut self, sink: &mut dyn Sink, to_ns: u64) -> Result<()> {
        if to_ns < self.reached_ns {
            *self = Self::start(self.recording, self.every, sink)?;
        }
        self.play(sink, to_ns, None)?;
        Ok(())
    }

    /// Plays the remaining steps and the end; returns the problems of the recording.
    pub(super) fn finish(mut self, sink: &mut dyn Sink) -> Result<Vec<String>> {
        self.play(sink, u64::MAX, None)?;
        if let Some(end) = self.next.take() {
            self.player.step(sink, end)?;
        }
        Ok(self.source.remarks())
    }
}

#[cfg(test)]
mod tests {
    use super::copy;
    use std::fs;

    #[test]
    fn a_copy_goes_with_its_reel() {
        let file = copy(&b"a recording"[..]).unwrap();
        let path = file.path().to_owned();
        assert_eq!(fs::read(&path).unwrap(), b"a recording");
        drop(file);
        assert!(!path.exists());
    }
}
