//! Timing: warm-up, rounds, and their results. With a clock that counts instructions, a nanosecond
//! is an instruction.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::scenario::Scenario;
use super::stage::Stage;
use crate::clock::{mono_ns, thread_ns};
use crate::counters::Counters;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Connections in a round.
    pub(super) connections: u32,
    pub(super) rounds: u32,
}

/// What one turn took, in nanoseconds of this thread's own time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Taken {
    /// Of all rounds.
    pub(super) turns: u32,
    /// The middle turn of the round where that is lowest: with no timer, no batch of the
    /// kernel's own work, no refill of random numbers and no new page of objects in it. It
    /// is the same each time, and the figure that is compared.
    pub(super) figure: f64,
    /// The middle of all turns, and the highest middle of a round.
    pub(super) median: f64,
    pub(super) highest: f64,
    /// By the clock on the wall, with all that comes between, whosesoever it is.
    pub(super) mean: f64,
}

/// Time for a tracer to see to what the warm-up left it.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

/// The number of rounds in a row that must cost the same, to a hundredth, the connections per
/// round, and the maximum number of rounds.
const STEADY: (usize, u32, usize) = (5, 50, 200);

/// A kernel that has just come up has work of its own behind each connection: waits until
/// that is over.
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
        // Its own work gets a chance.
        std::thread::sleep(SETTLE);
    }
    bail!("the loop does not become steady: {all:?}")
}

/// Measures one scenario, which has been warmed up.
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
        // At times the kernel leaves packets to a thread of its own: what is measured then is
        // not what it does with them.
        if Stage::refused_since(&earlier)? != refused {
            again += 1;
            ensure!(again <= rounds, "of {refused} SYNs never as many were refused");
            continue;
        }
        all.add(&mut times, wall);
        // The kernel hands out memory by pages of objects. Where a connection takes the last
        // of one and the first of the next it pays for that each time, until something
        // moves it: so it is moved.
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
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.middles.len()).unwrap_or(u32::MAX)
    }

    /// Adds a round: the time of each turn, and of all by the clock on the wall.
    pub(super) fn add(&mut self, times: &mut [u64], wall: u64) {
        self.middles.extend(middle(times));
        self.times.extend_from_slice(times);
        self.wall += wall;
    }

    /// Their result; none without a round.
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
