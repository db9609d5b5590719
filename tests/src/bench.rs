//! Measures the cost of tracers: loops of connections on loopback, without a tracer and with each
//! one, by this thread's run time. In a guest whose clock counts instructions, that is the number
//! of instructions. The loops are in `stage`, the timing in `rounds`, empty programs in `empty` and
//! `floor`, tracers in `rival`, `child` and `attach`, the growth of the cost in `scale`.

mod attach;
mod child;
mod empty;
mod floor;
mod held;
mod line;
mod options;
mod perf;
mod rival;
mod rounds;
mod scale;
mod scenario;
mod stage;
mod types;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use options::{Options, Part, Table};
pub use scenario::Scenario;

use attach::Attached;
use child::Beside;
use floor::Set;
use line::Line;
use rival::Rival;
use rounds::Effort;
use stage::Stage;
use types::Types;

/// The name for measurements without a tracer.
const NONE: &str = "none";
/// The same after all tracers are gone.
const AGAIN: &str = "none, at the end";
/// After attaching and detaching, the kernel still has work to do after grace periods.
const SETTLE: Duration = Duration::from_secs(1);
/// The time for work that a tracer does later, in batches, or each second: whole seconds, and
/// longer than any scenario.
const WINDOW: Duration = Duration::from_secs(2);

/// Measures everything that the options select.
///
/// # Errors
/// When the loop itself fails. A tracer that cannot run is reported and is not an error.
pub fn run(options: &Options) -> Result<()> {
    match options.part {
        Part::Cost => cost(options),
        Part::Scale => scale::run(options),
    }
}

fn cost(options: &Options) -> Result<()> {
    let mut bench = Bench::set_up(options)?;
    bench.all(NONE, None)?;
    let types = Types::read();
    for set in floor::SETS.into_iter().filter(|set| options.wants(set.name)) {
        bench.empty(set, &types)?;
    }
    rival::mount().context("cannot mount for the rivals")?;
    for rival in rival::RIVALS.into_iter().filter(|rival| options.wants_rival(*rival)) {
        bench.beside(rival)?;
    }
    // Checks that nothing was left behind.
    bench.all(AGAIN, None)
}

/// The stage and the selected measurements.
struct Bench {
    stage: Stage,
    scenarios: Vec<Scenario>,
    effort: Effort,
    start_limit: Duration,
}

impl Bench {
    fn set_up(options: &Options) -> Result<Self> {
        let Options { connections, rounds, only, start_limit, .. } = options;
        let mut stage = Stage::set_up()?;
        rounds::await_steady(|| stage.turns(Scenario::Ipv4, 1))?;
        Ok(Self {
            stage,
            scenarios: if only.is_empty() { Scenario::ALL.to_vec() } else { only.clone() },
            effort: Effort { connections: *connections, rounds: *rounds },
            start_limit: Duration::from_secs(*start_limit),
        })
    }

    /// Measures with a set of empty programs.
    fn empty(&mut self, set: Set, types: &Result<Types>) -> Result<()> {
        let tracer = set.name;
        let attached = match types {
            Ok(types) => set.attach(types).map_err(|error| format!("{error:#}")),
            Err(error) => Err(format!("{error:#}")),
        };
        match attached {
            Ok((programs, names)) => {
                Line::Attached { tracer, attached: &names }.tell()?;
                self.all(tracer, None)?;
                drop(programs);
                Ok(())
            }
            Err(absent) => Line::Absent { tracer, absent }.tell(),
        }
    }

    /// Measures with a tracer.
    fn beside(&mut self, rival: Rival) -> Result<()> {
        let tracer = rival.name;
        match Attached::start(rival, &mut self.stage, self.start_limit) {
            Ok(attached) => {
                Line::Attached { tracer, attached: &attached.programs }.tell()?;
                self.all(tracer, Some(&attached.beside))?;
                attached.end().with_context(|| format!("{tracer} does not end well"))
            }
            Err(error) => Line::Absent { tracer, absent: format!("{error:#}") }.tell(),
        }
    }

    /// Measures every scenario with whatever is currently attached.
    fn all(&mut self, tracer: &str, beside: Option<&Beside>) -> Result<()> {
        std::thread::sleep(SETTLE);
        if let Some(beside) = beside {
            let idle = window(Some(beside), || Ok(()))?.1 / WINDOW.as_secs_f64();
            Line::Idle { tracer, idle }.tell()?;
        }
        for scenario in self.scenarios.clone() {
            let stage = &mut self.stage;
            // Subtract its work in a second with few connections, which is not part of the cost of
            // connections.
            let few = |stage: &mut Stage| stage.turns(scenario, scenario.warm_up());
            let ((), before) = window(beside, || few(stage))?;
            let (taken, after) = window(beside, || {
                few(stage)?;
                rounds::measure(stage, scenario, self.effort)
            })?;
            let mut shares = vec![after - before];
            // A tracer may report more of these in one second than in the next, so the median of
            // three counts.
            for _ in 0..if scenario.is_cheap() { 2 } else { 0 } {
                let ((), before) = window(beside, || few(stage))?;
                let ((), after) = window(beside, || {
                    few(stage)?;
                    stage.turns(scenario, taken.turns)
                })?;
                shares.push(after - before);
            }
            shares.sort_unstable_by(f64::total_cmp);
            let share = shares.get(shares.len() / 2).copied().unwrap_or_default();
            let process = share / f64::from(taken.turns);
            Line::Measured { tracer, scenario, taken, process }.tell()?;
        }
        Ok(())
    }
}

/// Does some work, and if there is a tracer, waits for the end of a window of time. Returns the
/// result of the work, and the run time of the tracer's own process.
fn window<T>(beside: Option<&Beside>, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let Some(beside) = beside else {
        return Ok((work()?, 0.0));
    };
    let (before, start) = (beside.own_ns(), Instant::now());
    let done = work()?;
    std::thread::sleep(WINDOW.saturating_sub(start.elapsed()));
    Ok((done, (beside.own_ns() - before) as f64))
}

impl Options {
    fn wants(&self, tracer: &str) -> bool {
        let is_one_of = |parts: &[String]| parts.iter().any(|part| tracer.contains(part));
        (self.tracer.is_empty() || is_one_of(&self.tracer)) && !is_one_of(&self.skip)
    }

    fn wants_rival(&self, rival: Rival) -> bool {
        let mut backends = rival.ways.iter().filter_map(|way| way.backend());
        let wanted = |backend| self.backend.is_empty() || self.backend.iter().any(|b| b == backend);
        self.wants(rival.name) && backends.all(wanted)
    }
}
