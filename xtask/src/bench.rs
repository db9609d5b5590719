//! `cargo xtask bench`: what a tracer costs a connection, a refused SYN and a system call,
//! in guest instructions, beside what a user would run instead; as tables in docs/, and
//! judged by tests/budgets.json. `backlog-bench` measures, in a guest whose clock counts
//! instructions; this boots the guests, and lays out and judges what it prints.

mod budget;
mod events;
mod guest;
mod page;
mod rivals;
mod rows;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::backend::Backend;
use crate::setup::Need;
use crate::test::guests::{self, Wanted};
use crate::{build, pages, process, setup};
use budget::Budgets;
use guest::Bench;
use page::Page;

/// Where the tables go.
const FILE: &str = "docs/COST.md";

/// The arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What each tracer costs, or how many events go through one core (default: cost)
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Only these kernels (default: the whole matrix)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Of the tool's backends only these
    #[arg(long, value_enum)]
    backend: Vec<Backend>,
    /// Only this scenario: ipv4, ipv6, filtered, refused or other
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only tracers whose name contains this: floor, tcpsynbl, bpftrace, ...
    #[arg(long, value_name = "NAME")]
    tracer: Vec<String>,
    /// A quarter of the rounds, and no tracer that takes long to start
    #[arg(long)]
    quick: bool,
    /// Take the programs as they were last built
    #[arg(long)]
    no_build: bool,
    /// Only print the tables
    #[arg(long)]
    print: bool,
    /// Hold each budget that is not reached where it is now, for this reason
    #[arg(long, value_name = "WHY")]
    accept: Option<String>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What each tracer costs
    Cost,
    /// How many events a second go through one core
    Events,
}

impl Part {
    const ALL: [Self; 2] = [Self::Cost, Self::Events];

    /// By its name.
    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Events => "events",
        }
    }
}

/// Runs it; 1 if a budget is broken. The tables are written all the same, unless a part of
/// them was left out: then they are printed.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Args { part, no_build, print, accept, .. } = args;
    let mut status = 0;
    if part.contains(&Part::Events) {
        status = events::command(!no_build, *print, accept.as_deref())?;
    }
    if part.is_empty() || part.contains(&Part::Cost) {
        status = status.max(cost(args)?);
    }
    Ok(status)
}

fn cost(args: &Args) -> Result<u8> {
    let Args { part: _, kernel, backend, only, tracer, quick, no_build, print, accept } = args;
    let report = setup::ensure()?;
    report.require(Need::Guests)?;
    let mut budgets = Budgets::read()?;
    let programs = if *no_build { build::existing() } else { build::static_programs()? };
    let (kernels, untested) = guests::obtain(kernel)?;
    let rivals = rivals::obtain();
    if let Err(error) = &rivals {
        process::say(&format!("measured without the rivals: {error:#}"));
    }
    let bench = Bench {
        programs: &programs,
        rivals: rivals.as_ref().ok(),
        backends: backend,
        only,
        tracers: tracer,
        quick: *quick,
    };
    let versions = rivals.as_ref().map_or("not here", |rivals| rivals.versions.as_str());
    let mut page = Page::new(versions);
    let (mut broken, mut failed) = (Vec::new(), Vec::new());
    for Wanted { series, kernel } in &kernels {
        process::say(&format!("measuring in kernel {series} ({})", kernel.name));
        let rows = match bench.run(kernel) {
            Ok(rows) => rows,
            Err(error) => {
                // What was measured in others is told all the same.
                process::say(&format!("kernel {series}: {error:#}"));
                failed.push(series.as_str());
                continue;
            }
        };
        if let Some(why) = accept {
            budgets.accept(series, &rows, why);
        }
        let verdicts = budgets.judge(Part::Cost, series, &rows);
        broken.extend(verdicts.iter().filter_map(budget::Verdict::broken));
        page.add(series, &kernel.name, rows, verdicts);
    }
    if page.is_empty() {
        bail!("no kernel was measured");
    }
    for line in &untested {
        process::say(line);
    }
    if accept.is_some() {
        budgets.write()?;
        process::say(&format!("written: {}", budget::FILE));
    }
    let text = page.render() + &events::section();
    let part = !(kernel.is_empty() && failed.is_empty() && bench.is_whole());
    pages::publish(FILE, &text, *print || part)?;
    for line in &broken {
        process::say(&format!("budget broken: {line}"));
    }
    if !failed.is_empty() {
        bail!("not measured: kernel {}", failed.join(", "));
    }
    Ok(u8::from(!broken.is_empty()))
}
