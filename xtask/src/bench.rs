//! `cargo xtask bench`: the cost of tracing a connection, a refused SYN and a system call, in guest
//! instructions, compared with other tools; and how the cost grows. The results are tables in
//! docs/, judged by tests/budgets.json. `backlog-bench` measures in guests whose clock counts
//! instructions; this boots them, and formats and judges its output.

mod budget;
mod events;
mod guest;
mod page;
mod rivals;
mod rows;
mod scale;
mod verdicts;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::backend::Backend;
use crate::build::{self, Profile};
use crate::kernels::{self, Kernel};
use crate::setup::Need;
use crate::test::guests::{self, Wanted};
use crate::{pages, process, setup};
use budget::Budgets;
use guest::Bench;
use rivals::Rivals;
use rows::Rows;
use scale::Scale;
use verdicts::Measured;

/// The arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What each tracer costs, how the tool's cost and memory grow, or how many events go
    /// through one core (default: all)
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Only these kernels (default: the whole matrix; the part scale: 6.12)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only these backends of the tool (the part scale: one, by default fentry)
    #[arg(long, value_enum)]
    backend: Vec<Backend>,
    /// Only this scenario of the part cost: ipv4, ipv6, filtered, refused or other; or this
    /// table of the part scale: listeners, queue, flood, cpus or start
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only tracers of the part cost whose name contains this: floor, tcpsynbl, bpftrace, ...
    #[arg(long, value_name = "NAME")]
    tracer: Vec<String>,
    /// Run a third of the rounds, without tracers that start slowly
    #[arg(long)]
    quick: bool,
    /// Use the programs of the last build
    #[arg(long)]
    no_build: bool,
    /// Only print the tables
    #[arg(long)]
    print: bool,
    /// Record budgets that are not met as they are now, with this reason
    #[arg(long, value_name = "WHY")]
    accept: Option<String>,
}

/// A part of the benchmark, with a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What each tracer costs: docs/measured/COST.md
    Cost,
    /// How the tool's cost and memory grow: docs/measured/SCALE.md
    Scale,
    /// How many events a second go through one core: a section of docs/measured/COST.md
    Events,
}

impl Part {
    const ALL: [Self; 3] = [Self::Cost, Self::Scale, Self::Events];

    /// The part with this name.
    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Scale => "scale",
            Self::Events => "events",
        }
    }

    /// The page with its tables.
    fn file(self) -> &'static str {
        match self {
            Self::Cost | Self::Events => "docs/measured/COST.md",
            Self::Scale => "docs/measured/SCALE.md",
        }
    }

    /// Is it measured in this kernel unless others are named? The part `scale` is about the tool's
    /// own tables, which are the same in each kernel, and takes a quarter of an hour.
    fn is_for(self, series: &str) -> bool {
        self != Self::Scale || series == kernels::ONE
    }

    /// The names that `--only` accepts for this part.
    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Cost => page::SCENARIOS.map(|(name, _)| name).to_vec(),
            Self::Scale => scale::TABLES.to_vec(),
            Self::Events => Vec::new(),
        }
    }
}

/// What the parts share.
struct Ready<'a> {
    args: &'a Args,
    programs: Vec<PathBuf>,
    kernels: Vec<Wanted>,
    untested: Vec<String>,
    rivals: Option<Rivals>,
}

/// Runs the benchmark. Returns 1 if a budget is broken. The tables are written anyway, or printed
/// if something was left out of them.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let mut parts = args.parts()?;
    let count = parts.len();
    parts.retain(|(part, _)| *part != Part::Events);
    // This comes last: its section is part of a page that is written before.
    let then = |status: u8| -> Result<u8> {
        if parts.len() == count {
            return Ok(status);
        }
        Ok(status.max(events::command(!args.no_build, args.print, args.accept.as_deref())?))
    };
    if parts.is_empty() {
        return then(0);
    }
    setup::ensure()?.require(Need::Guests)?;
    let programs =
        if args.no_build { build::existing(Profile::Dist) } else { build::shipped_programs()? };
    let (kernels, untested) = guests::obtain(&args.kernel)?;
    let rivals = rivals::obtain()
        .inspect_err(|error| process::say(&format!("measured without the rivals: {error:#}")))
        .ok();
    let ready = Ready { args, programs, kernels, untested, rivals };
    let (mut broken, mut failed) = (Vec::new(), Vec::new());
    for (part, only) in &parts {
        match ready.run(*part, only) {
            Ok(of_part) => broken.extend(of_part),
            // Measure the other parts anyway.
            Err(error) => failed.push(format!("part {}: {error:#}", part.name())),
        }
    }
    for line in &broken {
        process::say(&format!("budget broken: {line}"));
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    then(u8::from(!broken.is_empty()))
}

impl Args {
    /// The parts to run, each with its names from `--only`.
    fn parts(&self) -> Result<Vec<(Part, Vec<String>)>> {
        let mut parts = if self.part.is_empty() { Part::ALL.to_vec() } else { self.part.clone() };
        if self.part.is_empty() && !self.tracer.is_empty() {
            parts.retain(|part| *part == Part::Cost);
        }
        if self.part.is_empty() && !self.kernel.is_empty() {
            parts.retain(|part| *part != Part::Events);
        }
        let names: Vec<&str> = parts.iter().flat_map(|part| part.names()).collect();
        if let Some(unknown) = self.only.iter().find(|only| !names.contains(&only.as_str())) {
            bail!("{unknown} cannot be measured: --only takes {}", names.join(", "));
        }
        let with_names = parts.into_iter().map(|part| {
            let names = part.names();
            let mut only = self.only.clone();
            only.retain(|name| names.contains(&name.as_str()));
            (part, only)
        });
        Ok(with_names.filter(|(_, only)| self.only.is_empty() || !only.is_empty()).collect())
    }
}

impl Ready<'_> {
    /// Measures a part in every kernel and writes its page. Returns the broken budgets.
    fn run(&self, part: Part, only: &[String]) -> Result<Vec<String>> {
        let Args { kernel, print, accept, .. } = self.args;
        let mut budgets = Budgets::read()?;
        let (mut measured, mut failed) = (Vec::new(), Vec::new());
        let all = !kernel.is_empty();
        let wanted = self.kernels.iter().filter(|one| all || part.is_for(&one.series));
        for Wanted { series, kernel } in wanted {
            process::say(&format!(
                "measuring {} in kernel {series} ({})",
                part.name(),
                kernel.name
            ));
            let rows = match self.measure(part, only, kernel) {
                Ok(rows) => rows,
                Err(error) => {
                    // Results from other kernels are still printed.
                    process::say(&format!("kernel {series}: {error:#}"));
                    failed.push(series.as_str());
                    continue;
                }
            };
            if let Some(why) = accept {
                budgets.accept(series, &rows, why);
            }
            let verdicts = budgets.judge(part, series, &rows);
            let (series, version) = (series.clone(), kernel.name.clone());
            measured.push(Measured { series, version, rows, verdicts });
        }
        if measured.is_empty() {
            bail!("no kernel was measured");
        }
        for line in &self.untested {
            process::say(line);
        }
        if accept.is_some() {
            budgets.write()?;
            process::say(&format!("written: {}", budget::FILE));
        }
        let versions = self.rivals.as_ref().map_or("not here", |rivals| rivals.versions.as_str());
        let text = match part {
            Part::Cost => page::render(versions, &measured) + &events::section(),
            Part::Scale => scale::render(versions, &measured),
            Part::Events => bail!("the part events has no kernel"),
        };
        let whole = kernel.is_empty() && failed.is_empty() && self.is_whole(only);
        pages::publish(part.file(), &text, *print || !whole)?;
        if !failed.is_empty() {
            bail!("not measured: kernel {}", failed.join(", "));
        }
        let verdicts = measured.iter().flat_map(|kernel| &kernel.verdicts);
        Ok(verdicts.filter_map(budget::Verdict::broken).collect())
    }

    fn measure(&self, part: Part, only: &[String], kernel: &Kernel) -> Result<Rows> {
        let Args { backend, tracer, quick, .. } = self.args;
        let (programs, rivals) = (&self.programs, self.rivals.as_ref());
        match part {
            Part::Cost => {
                let (backends, tracers) = (backend, tracer);
                Bench { programs, rivals, backends, only, tracers, quick: *quick }.run(kernel)
            }
            Part::Scale => {
                let backend = backend.first().copied();
                Scale { programs, rivals, backend, only, quick: *quick }.run(kernel)
            }
            Part::Events => bail!("the part events has no kernel"),
        }
    }

    /// Was nothing left out?
    fn is_whole(&self, only: &[String]) -> bool {
        let Args { backend, tracer, quick, .. } = self.args;
        let all = backend.is_empty() && tracer.is_empty() && only.is_empty();
        self.rivals.is_some() && all && !quick
    }
}
