//! Times rounds, after a warm-up. With a clock that counts instructions, a nanosecond is an
//! instruction.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::scenario::Scenario;
use super::stage::Stage;
use crate::clock::{mono_ns, thread_ns};
use crate::counters::Counters;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Connections per round.
    pub(super) connections: u32,
    pub(super) rounds: u32,
}

/// The time of one turn, in nanoseconds of this thread's run time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Taken {
    /// The number of turns in all rounds.
    pub(super) turns: u32,
    /// The median turn of the fastest round: without timers, batches of the kernel's own work,
    /// refills of random numbers or new pages of objects. It is the same each time, so it is the
    /// figure to compare.
    pub(super) figure: f64,
    /// The median of all turns, and the highest median of a round.
    pub(super) median: f64,
    pub(super) highest: f64,
    /// The mean by the wall clock, including everything that happens in between.
    pub(super) mean: f64,
}

/// The time for a tracer to process what the warm-up has left.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

/// The number of rounds in a row that must cost the same, to within a hundredth, the connections
/// per round, and the maximum number of rounds.
const STEADY: (usize, u32, usize) = (5, 50, 200);

/// Waits until the loop is steady: after booting, the kernel has additional work with each
/// connection for a while.
pub(super) fn await_steady(mut turn: impl FnMut() -> Result<()>) -> Result<()> {
    let (rounds, connections, most) = STEADY;
    let mut all: Vec<u64> = Vec::new();
    for _ in 0..most {
        let mut times = vec![0; usize::try_from(connections)?];
        for time in &mut times {
            let before = thread_ns();
            turn()?;
            *time = thread_ns() - before;
        }
        all.extend(middle(&mut times));
        let last = all.get(all.len().saturating_sub(rounds)..).unwrap_or_default();
        let (low, high) = (last.iter().min(), last.iter().max());
        if let (Some(low), Some(high), true) = (low, high, last.len() == rounds)
            && (high - low) * 100 < *low
        {
            return Ok(());
        }
        // Let the kernel do its own work.
        std::thread::sleep(SETTLE);
    }
    bail!("the loop does not become steady: {all:?}")
}

/// Measures a scenario that has been warmed up.
pub(super) fn measure(stage: &mut Stage, scenario: Scenario, effort: Effort) -> Result<Taken> {
    let Effort { connections, rounds } = effort;
    let (groups, turns) = scenario.groups(connections);
    let refused = if scenario == Scenario::Refused { u64::from(groups * turns) } else { 0 };
    let mut times = vec![0; usize::try_from(groups)?];
    let (mut all, mut again) = (Rounds::default(), 0);
    while all.count() < rounds {
        std::thread::sleep(SETTLE);
        let earlier = Counters::read()?;
        let start = mono_ns();
        let mut before = thread_ns();
        for time in &mut times {
            stage.turns(scenario, turns)?;
            let now = thread_ns();
            *time = now - before;
            before = now;
        }
        let wall = mono_ns() - start;
        // Sometimes the kernel leaves packets to a thread of its own, and their processing is not
        // measured: repeat the round.
        if Stage::refused_since(&earlier)? != refused {
            again += 1;
            ensure!(again <= rounds, "the kernel never refused all of {refused} SYNs");
            continue;
        }
        all.add(&mut times, wall);
        // The kernel allocates memory in pages of objects. If a connection takes the last object of
        // one and the first of the next, each turn pays for that until something shifts it, as this
        // does.
        stage.hold()?;
    }
    stage.release()?;
    all.taken(turns).context("no round")
}

/// The times of the rounds so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    times: Vec<u64>,
    middles: Vec<u64>,
    wall: u64,
}

impl Rounds {
    /// The number of rounds.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.middles.len()).unwrap_or(u32::MAX)
    }

    /// Adds a round: the time of each turn, and the wall-clock time of all.
    pub(super) fn add(&mut self, times: &mut [u64], wall: u64) {
        self.middles.extend(middle(times));
        self.times.extend_from_slice(times);
        self.wall += wall;
    }

    /// The result; None without a round.
    pub(super) fn taken(mut self, turns: u32) -> Option<Taken> {
        let of = |time: u64| time as f64 / f64::from(turns);
        let count = self.times.len() as f64;
        Some(Taken {
            turns: u32::try_from(self.times.len()).ok()? * turns,
            figure: of(*self.middles.iter().min()?),
            median: of(middle(&mut self.times)?),
            highest: of(*self.middles.iter().max()?),
            mean: of(self.wall) / count,
        })
    }
}

fn middle(times: &mut [u64]) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_told_and_how_far_rounds_are_off() {
        let mut all = Rounds::default();
        all.add(&mut [90, 10, 30], 200);
        all.add(&mut [50, 50, 400], 700);
        let taken = all.taken(10).unwrap();
        assert_eq!((taken.figure, taken.median, taken.highest), (3.0, 5.0, 5.0));
        assert_eq!((taken.turns, taken.mean), (60, 15.0));
        assert_eq!(Rounds::default().taken(10), None);
    }
}
