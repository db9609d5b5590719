//! `backlog-trace compare`: shows two recordings side by side, and whether a change helped. Needs
//! no privileges. The core compares; this module reads the recordings and prints the result.

pub(crate) mod json;
mod text;

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::compare::Run;
use backlog_core::run::Meta;
use jiff::Timestamp;

use crate::cli::{CompareArgs, CompareOutput};
use crate::commands::replay::judge_by;
use crate::commands::replay::player::Player;
use crate::commands::replay::source::Source;
use crate::commands::show;
use crate::exit::Outcome;
use crate::notice::notice;
use crate::output::sink::{Now, Sink, Update};

/// A recording that was read.
pub(crate) struct Recorded {
    /// The file name as typed.
    pub(crate) file: String,
    /// The start of the run.
    pub(crate) meta: Meta,
    /// The start of the run on the wall clock.
    pub(crate) began: Timestamp,
    /// What is compared.
    pub(crate) run: Run,
    /// The recording has no end: the run was killed, or the file is cut off.
    pub(crate) cut_off: bool,
}

/// Prints the comparison.
pub(crate) fn run(args: &CompareArgs) -> Result<Outcome> {
    let CompareArgs { before, after, output, client_timeout, utc } = args;
    let read = |file| recorded(file, client_timeout.as_deref());
    let (before, after) = (read(before)?, read(after)?);
    let text = match output {
        CompareOutput::Table => text::render(&show::zone(*utc), &before, &after),
        CompareOutput::Json => json::render(&before, &after)?,
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// Tracks the end of a run, and whether its recording is truncated.
#[derive(Default)]
struct Until {
    time_ns: u64,
    cut_off: bool,
}

impl Sink for Until {
    fn update(&mut self, _: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        match *update {
            Update::Interval { time_ns, .. } => self.time_ns = self.time_ns.max(time_ns),
            Update::End { end, .. } => {
                self.time_ns = end.time_ns;
                self.cut_off = end.recording_incomplete.is_some();
            }
            _ => {}
        }
        Ok(())
    }
}

fn recorded(file: &Path, client_timeout: Option<&str>) -> Result<Recorded> {
    let name = file.display().to_string();
    let read = || {
        let (mut header, mut source) = Source::open(file)?;
        judge_by(&mut header, client_timeout)?;
        let mut until = Until::default();
        let mut player = Player::start(&header, None, &mut until)?;
        for step in &mut source {
            player.step(&mut until, step?)?;
        }
        for remark in source.remarks() {
            notice(&format!("{name}: {remark}"));
        }
        let start_ns = header.meta.time_ns;
        let run = Run::of(player.model(), start_ns, until.time_ns.max(start_ns));
        let began = player.clock().wall(start_ns);
        anyhow::Ok(Recorded {
            file: name.clone(),
            meta: header.meta,
            began,
            run,
            cut_off: until.cut_off,
        })
    };
    read().with_context(|| name.clone())
}

#[cfg(test)]
mod tests;
