//! Attaches a tracer: starts it, waits until it really traces (its programs run, and its process
//! sleeps), and ends it with nothing left behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::child::Beside;
use super::rival::{Rival, Way};
use super::scenario::Scenario;
use super::stage::Stage;
use crate::bpf::{self, Program};
use crate::proc;

/// The interval between two checks.
const STEP: Duration = Duration::from_millis(50);
/// The time limit for its work at the end.
const END_LIMIT: Duration = Duration::from_mins(1);
/// This many checks in a row must agree.
const LOOKS: u32 = 4;

/// An attached tracer.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) beside: Beside,
    before: BTreeSet<u32>,
    /// The number of its programs, and how many of them ran when connections were made.
    pub(super) programs: String,
}

impl Attached {
    /// Starts it in the best way that the kernel permits, and waits until it traces. The error says
    /// why it does not.
    pub(super) fn start(rival: Rival, stage: &mut Stage, limit: Duration) -> Result<Self> {
        let mut refused = Vec::new();
        for way in rival.ways {
            match Self::start_by(*way, stage, limit) {
                Ok(mut attached) => {
                    refused.insert(0, format!("{}: {}", way.name(), attached.programs));
                    attached.programs = refused.join("; ");
                    return Ok(attached);
                }
                Err(error) => refused.push(format!("not {}: {error:#}", way.name())),
            }
        }
        bail!("{}", refused.join("; "))
    }

    fn start_by(way: Way, stage: &mut Stage, limit: Duration) -> Result<Self> {
        ensure!(way.is_here(), "not in this guest");
        let before = ids(&bpf::programs().context("cannot list programs")?);
        let beside = Beside::start(&mut way.command())?;
        let mut attached = Self { beside, before, programs: String::new() };
        match attached.await_ready(way, stage, limit) {
            Ok(()) => Ok(attached),
            Err(error) => {
                let said = last_words(&attached.beside.said());
                attached.end().context(error.to_string())?;
                bail!("{error:#}{said}")
            }
        }
    }

    fn await_ready(&mut self, way: Way, stage: &mut Stage, limit: Duration) -> Result<()> {
        let start = Instant::now();
        // The kernel counts runs while this is open.
        let counting = bpf::count_runs().context("cannot count runs")?;
        let mut last = (BTreeSet::new(), BTreeSet::new());
        let mut same = 0;
        while same < LOOKS {
            ensure!(!self.beside.has_ended()?, "it ended at once");
            ensure!(start.elapsed() < limit, "not attached after {} s", limit.as_secs());
            std::thread::sleep(STEP);
            for scenario in [Scenario::Ipv4, Scenario::Ipv6, Scenario::Refused] {
                stage.turns(scenario, 1)?;
            }
            let programs = self.its_own()?;
            let now = (ids(&programs), ids(programs.iter().filter(|program| program.runs > 0)));
            let quiet = self.sleeps() && (!way.says_so() || self.beside.has_said());
            same = if quiet && !now.1.is_empty() && last == now { same + 1 } else { 0 };
            last = now;
        }
        drop(counting);
        let (loaded, ran) = last;
        let mut names: Vec<String> = self
            .its_own()?
            .into_iter()
            .filter(|program| ran.contains(&program.id))
            .map(|program| program.name)
            .collect();
        names.sort();
        self.programs =
            format!("{} programs, of which {} ran: {}", loaded.len(), ran.len(), names.join(", "));
        Ok(())
    }

    /// The programs that did not exist before.
    fn its_own(&self) -> Result<Vec<Program>> {
        let mut programs = bpf::programs().context("cannot list programs")?;
        programs.retain(|program| !self.before.contains(&program.id));
        Ok(programs)
    }

    fn sleeps(&self) -> bool {
        let threads = self.beside.threads();
        !threads.is_empty() && threads.into_iter().all(proc::asleep)
    }

    /// Ends it, and waits until none of its programs is left in the kernel.
    pub(super) fn end(mut self) -> Result<()> {
        self.beside.end(END_LIMIT)?;
        let start = Instant::now();
        while !self.its_own()?.is_empty() {
            ensure!(start.elapsed() < END_LIMIT, "it leaves behind {:?}", self.its_own()?);
            std::thread::sleep(STEP);
        }
        Ok(())
    }
}

fn ids<'a>(programs: impl IntoIterator<Item = &'a Program>) -> BTreeSet<u32> {
    programs.into_iter().map(|program| program.id).collect()
}

/// The last part of a program's output, which may be long.
fn last_words(said: &str) -> String {
    let mut lines: Vec<&str> =
        said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    let tail = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    if tail.is_empty() { String::new() } else { format!(": {}", tail.join(" / ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_told() {
        assert_eq!(last_words("a\n\nb\nc\nc\nd\n"), ": b / c / d");
        assert_eq!(last_words(" \n"), "");
    }
}
