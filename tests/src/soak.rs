//! Runs the tool for many minutes, while listeners, network namespaces and processes come and go,
//! queues overflow, servers, readers and the tool itself are stopped, and the disk of its recording
//! fills up. At the end, every count is compared with that of the loads and of the kernel, and the
//! tool's memory and descriptors must not have grown.

mod churn;
mod disk;
mod judge;
mod samples;
mod totals;
mod traced;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bpf;
use crate::clock::wait_until;
use churn::Churn;
use disk::Disk;
use judge::Outcome;
use samples::Samples;
use traced::Traced;
use trouble::Troubles;

/// The arguments of `backlog-soak`.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "backlog-soak", version)]
pub struct Options {
    /// How long the loads go on
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub minutes: f64,
    /// Size of the disk of the recording, MiB
    #[arg(long, value_name = "MIB", default_value_t = 4)]
    pub disk: u32,
    /// Loads at a time
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub loads: usize,
    /// Keep the tool's lines in FILE
    #[arg(long, value_name = "FILE", default_value = "/dev/null")]
    pub lines: PathBuf,
    /// Where the random numbers begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// The interval between two samples of memory and descriptors.
const SAMPLE: Duration = Duration::from_secs(1);

/// How long the kernel may take to free programs.
const GRACE: Duration = Duration::from_secs(10);

/// Runs it, prints the table, and returns whether everything was right.
///
/// # Errors
/// When it could not be run: not root, no tool, or a load that cannot start.
pub fn run(options: &Options) -> Result<bool> {
    let length = Duration::try_from_secs_f64(options.minutes * 60.0).context("--minutes")?;
    let programs = bpf::programs().context("listing eBPF programs (root is needed)")?;
    let disk = Disk::mount(options.disk)?;
    let mut traced = Traced::start(&disk.recording(), &options.lines)?;
    let begin = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    churn::fill()?;
    let churn = Churn::start(options, &over)?;
    let troubles = Troubles::start(&traced, &churn, options.seed, &over)?;
    let mut samples = Samples::default();
    while begin.elapsed() < length && !churn.is_over() && !troubles.is_over() {
        traced.check()?;
        samples.take(traced.pid(), begin.elapsed());
        thread::sleep(SAMPLE);
    }
    over.store(true, Ordering::SeqCst);
    let troubles = troubles.finish()?;
    let loads = churn.finish()?;
    let run = traced.finish()?;
    let left = programs_left(&programs);
    let outcome = Outcome {
        elapsed: begin.elapsed(),
        loads,
        run,
        samples,
        troubles,
        programs_left: left,
        disk_full: disk.is_full()?,
    };
    print!("{}", outcome.table());
    let failures = outcome.failures();
    for failure in &failures {
        println!("failed: {failure}");
    }
    Ok(failures.is_empty())
}

/// The number of programs that did not exist before. The kernel frees programs after a grace
/// period.
fn programs_left(before: &[bpf::Program]) -> usize {
    let is_new = |one: &bpf::Program| before.iter().all(|old| old.id != one.id);
    let mut left = 0;
    // If some are left at the end, that is the result, not an error.
    let _ = wait_until("the programs to be freed", GRACE, || {
        left = bpf::programs()?.iter().filter(|one| is_new(one)).count();
        Ok(left == 0)
    });
    left
}

/// The path of one of our programs, which are in the same folder.
fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("which program is this?")?;
    Ok(own.with_file_name(name))
}
