//! `cargo xtask test`: runs every check and test, on this machine first, then in each kernel of the
//! matrix with each backend (without `--all`, mostly the core tests), and prints a summary. The
//! host part needs no eBPF tools: without them, a stub replaces the eBPF object. `matrix` runs the
//! kernels, `suite` defines what runs there, and `tally` counts libtest's results.

mod guest;
pub(crate) mod guests;
mod matrix;
pub(crate) mod native;
pub(crate) mod row;
pub(crate) mod suite;
mod tally;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Error, Result};

use crate::backend::Backend;
use crate::lint::{self, cargo};
use crate::setup::{Need, Report};
use crate::vm::{self, Emulation};
use crate::{build, paths, process, servers, setup};
use suite::Suite;
use tally::Tally;

/// The arguments of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these kernels, `native` for this machine's own (default: that one if it
    /// permits tracing, and the whole matrix)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only this backend (default: each in the guests, the best natively)
    #[arg(long, value_enum)]
    backend: Vec<Backend>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Run every test with every kernel and backend (hours). Otherwise, unless a backend or a test
    /// is named, one kernel runs all tests with its best backend, and the others the core
    #[arg(long)]
    all: bool,
    /// In the guests, run each virtual CPU in a thread: more races, and occasional crashes by the
    /// emulator
    #[arg(long)]
    parallel: bool,
    /// The random mix of drops: another seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The random mix of drops: the number of steps
    #[arg(long, value_name = "N", default_value_t = 24)]
    steps: u64,
}

/// Enough for a day.
const MOST_STEPS: u64 = 28_800;

/// Runs everything. Returns 1 if anything failed; a failure does not stop the rest.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Args { kernel, backend, filter, all, parallel, seed, steps } = args;
    let emulation = if *parallel { Emulation::Parallel } else { Emulation::InTurn };
    let report = setup::ensure()?;
    let mut failures = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            process::say(&format!("failed: {error:#}"));
            failures.push(format!("{error:#}"));
        }
    };

    for failure in lint::run() {
        note(Err(failure));
    }
    let mut tally = Tally::default();
    for failure in host(&report, filter.as_deref(), &mut tally) {
        note(Err(failure));
    }
    if *all {
        note(logging());
    }
    let suite = Suite {
        filters: filter.iter().cloned().collect(),
        variables: vec![
            ("BACKLOG_SEED", seed.to_string()),
            ("BACKLOG_STEPS", steps.to_string()),
            ("BACKLOG_ROWS", "1".to_owned()),
        ],
        cpus: vm::CPUS,
        emulation,
        servers: servers::if_possible(),
        // A step of the mix takes a second or two.
        limit: guests::LIMIT + Duration::from_secs(steps.min(&MOST_STEPS) * 3),
        short: !all && backend.is_empty() && filter.is_none(),
    };
    for failure in matrix::run(&report, kernel, backend, suite, &mut tally) {
        note(Err(failure));
    }

    println!();
    for failure in &failures {
        println!("failed: {failure}");
    }
    // Always the last line, since scripts read it.
    println!("{tally}");
    Ok(u8::from(!failures.is_empty() || tally.failed > 0))
}

/// Runs the tests that run anywhere, of the tool and of this program. Returns the failures.
fn host(report: &Report, filter: Option<&str>, tally: &mut Tally) -> Vec<Error> {
    let tool = || {
        let mut command = build::tests();
        if report.require(Need::Build).is_err() {
            command.env("BACKLOG_EBPF", "skip");
        }
        command
    };
    let own = || cargo(&["test", "--package=xtask"]);
    let mut run = |command: &dyn Fn() -> Command| one_host(command, filter, tally).err();
    [run(&tool), run(&own)].into_iter().flatten().collect()
}

/// Runs the tests of a cargo command. Only failures are shown.
fn one_host(command: &dyn Fn() -> Command, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    // Build first, since cargo's messages are shown immediately.
    process::run(command().args(["--quiet", "--no-run"]))?;
    let mut command = command();
    command.args(["--quiet", "--no-fail-fast"]).args(filter);
    command.env_remove("BACKLOG_GUEST");
    process::announce(&command);
    let output = process::output(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = Tally::of(&text);
    process::say(&format!("host: {found}"));
    tally.add(found);
    if !output.status.success() {
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    anyhow::ensure!(output.status.success(), "{}: {}", output.status, process::line(&command));
    Ok(())
}

/// Checks that the programs with log lines, a feature for developers, load on this machine's
/// kernel.
fn logging() -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(paths::root());
    command.args(["run", "--quiet", "--package=backlog-user", "--features=ebpf-log"]);
    command.args(["--", "--check-programs"]);
    process::run(&mut command).context("the programs with their log")
}

/// A panic in another thread leaves the shared data consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
