//! Times a loop: rounds of single turns without a tracer; with the tool, also the cost of its own
//! process, in windows of time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::line::Line;
use super::super::rounds::{Effort, Rounds, SETTLE, Taken};
use super::clients::Spare;
use super::tool::Tool;
use crate::clock::mono_ns;

/// The number of turns for the warm-up.
const WARM_UP: u32 = 200;
/// The number of turns to measure the tool's own process with.
const MANY: u32 = 5_000;
/// As in the part `cost`: whole seconds, and longer than any loop here.
pub(super) const WINDOW: Duration = Duration::from_secs(4);
/// The number of windows, of which the median counts.
const WINDOWS: usize = 3;

/// The name of a loop, and how to time it.
pub(super) struct Loop<'a> {
    pub(super) scenario: &'a str,
    pub(super) clock: fn() -> u64,
    pub(super) turn: &'a mut dyn FnMut() -> Result<()>,
}

impl Loop<'_> {
    /// Measures the loop and prints the result, without a tracer or for the tool.
    pub(super) fn tell(
        mut self,
        effort: Effort,
        spare: &mut Spare,
        beside: Option<(&str, &Tool)>,
    ) -> Result<()> {
        let scenario = self.scenario;
        self.turns(WARM_UP)?;
        let taken = self.rounds(effort, spare)?;
        let Some((tracer, tool)) = beside else {
            return Line::Scaled { tracer: "none", scenario, taken, process: 0.0 }.tell();
        };
        let mut shares = Vec::new();
        for _ in 0..WINDOWS {
            // Subtract its work in a second with few connections, which is not part of the cost of
            // connections.
            let ((), few) = window(tool, || self.turns(WARM_UP))?;
            let ((), all) = window(tool, || self.turns(WARM_UP + MANY))?;
            shares.push((all - few) / f64::from(MANY));
        }
        shares.sort_unstable_by(f64::total_cmp);
        let process = shares.get(WINDOWS / 2).copied().unwrap_or_default();
        Line::Scaled { tracer, scenario, taken, process }.tell()
    }

    fn turns(&mut self, count: u32) -> Result<()> {
        (0..count).try_for_each(|_| (self.turn)())
    }

    fn rounds(&mut self, effort: Effort, spare: &mut Spare) -> Result<Taken> {
        let Effort { connections, rounds } = effort;
        let mut times = vec![0; usize::try_from(connections)?];
        let mut all = Rounds::default();
        while all.count() < rounds {
            sleep(SETTLE);
            let start = mono_ns();
            let mut before = (self.clock)();
            for time in &mut times {
                (self.turn)()?;
                let now = (self.clock)();
                *time = now - before;
                before = now;
            }
            all.add(&mut times, mono_ns() - start);
            spare.keep()?;
        }
        spare.release()?;
        all.taken(1).context("no round")
    }
}

/// Does some work, and waits for the end of a window of time. Returns the result of the work, and
/// the run time of the tool.
pub(super) fn window<T>(tool: &Tool, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (before, start) = (tool.cpu_ns()?, Instant::now());
    let done = work()?;
    sleep(WINDOW.saturating_sub(start.elapsed()));
    Ok((done, (tool.cpu_ns()? - before) as f64))
}

/// The run time of the tool in a second when nothing happens.
pub(super) fn idle(tool: &Tool) -> Result<f64> {
    Ok(window(tool, || Ok(()))?.1 / WINDOW.as_secs_f64())
}
