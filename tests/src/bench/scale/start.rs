//! The start of each tracer: the wall-clock time and run time until its first line, and the run
//! time until it is idle.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::super::child::Beside;
use super::super::line::Line;
use super::super::rival::{self, RIVALS, Rival};
use super::Wanted;
use super::terminal::Terminal;
use crate::clock::{mono_ns, wait_until};
use crate::proc;

/// This many checks in a row, some milliseconds apart, must find it asleep.
const LOOKS: u32 = 100;
/// The maximum length of a line to print: the tool's line has the time after it.
const SHOWN: usize = 24;
/// The time limit for its work at the end.
const END_LIMIT: Duration = Duration::from_mins(1);

/// The cost of a start, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
struct Started {
    line: String,
    wall: u64,
    cpu: u64,
    all: u64,
}

/// Measures every available tracer.
pub(super) fn run(wanted: &Wanted) -> Result<()> {
    rival::mount()?;
    let is_wanted = |rival: &Rival| {
        let mut backends = rival.ways.iter().filter_map(|way| way.backend());
        backends.all(|backend| backend == wanted.backend)
            && !wanted.skip.iter().any(|part| rival.name.contains(part))
    };
    for Rival { name: tracer, ways } in RIVALS.into_iter().filter(is_wanted) {
        let mut refused = Vec::new();
        let started = ways.iter().find_map(|way| {
            let started =
                if way.is_here() { start(way.command(), wanted) } else { Err(not_here()) };
            started.map_err(|error| refused.push(format!("{}: {error:#}", way.name()))).ok()
        });
        let Some(Started { line, wall, cpu, all }) = started else {
            Line::Absent { tracer, absent: refused.join("; ") }.tell()?;
            continue;
        };
        Line::Attached { tracer, attached: &line }.tell()?;
        for (name, value) in [("wall", wall), ("cpu", cpu), ("all", all)] {
            Line::Value { tracer, scenario: "start", name, value: value as f64 }.tell()?;
        }
    }
    Ok(())
}

fn not_here() -> anyhow::Error {
    anyhow::anyhow!("not in this guest")
}

fn start(mut command: Command, wanted: &Wanted) -> Result<Started> {
    let (mut terminal, theirs) = Terminal::open()?;
    let before = mono_ns();
    let mut beside = Beside::start_to(&mut command, theirs)?;
    // The command also holds the other end of the terminal.
    drop(command);
    match await_line(&mut terminal, &mut beside, before, wanted.start_limit) {
        Ok(started) => {
            beside.end(END_LIMIT)?;
            Ok(started)
        }
        Err(error) => {
            let said = beside.said();
            bail!("{error:#}: {}", said.trim().lines().last().unwrap_or_default())
        }
    }
}

fn await_line(
    terminal: &mut Terminal,
    beside: &mut Beside,
    before: u64,
    limit: Duration,
) -> Result<Started> {
    let line = terminal.first_line(limit)?;
    let (wall, cpu) = (mono_ns() - before, beside.cpu_ns()?);
    let mut asleep = 0;
    wait_until("it to sleep", limit, || {
        ensure!(!beside.has_ended()?, "it ended at once");
        let threads = beside.threads();
        let quiet = !threads.is_empty() && threads.into_iter().all(proc::asleep);
        asleep = if quiet { asleep + 1 } else { 0 };
        Ok(asleep >= LOOKS)
    })?;
    let all = beside.cpu_ns()?;
    // A part of the line is enough, since it may be long.
    Ok(Started { line: line.chars().take(SHOWN).collect(), wall, cpu, all })
}
