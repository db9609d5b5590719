//! The cost of tracing.

use backlog_core::run::cost::{self, Cpu, ProgramCost};
use serde::Serialize;

/// What tracing cost. Null: not known.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Cost<'a> {
    /// The time that CPU time and runs are about, nanoseconds: the run, and the scans of queues
    /// and counters right before and after it.
    elapsed_ns: u64,
    /// CPU time in userspace over that time, microseconds, without the command of `--cmd`.
    cpu_user_us: Option<u64>,
    /// CPU time in the kernel over that time, microseconds, without the command of `--cmd`.
    cpu_system_us: Option<u64>,
    /// CPU time before that, microseconds: reading the kernel's types, loading, verifying and
    /// attaching.
    cpu_before_us: Option<u64>,
    /// Resident memory at the end, bytes. The ring buffer counts twice, since it is mapped twice
    /// in a row.
    rss_bytes: Option<u64>,
    /// The anonymous part of `rss_bytes`: heap and stack.
    rss_anon_bytes: Option<u64>,
    /// The most resident memory, bytes.
    rss_peak_bytes: Option<u64>,
    /// Kernel memory of the maps, bytes, as the kernel accounts it (`memlock` in
    /// `/proc/self/fdinfo`; from 5.11 to 6.3 an estimate).
    maps_bytes: Option<u64>,
    /// Kernel memory of the programs, bytes, likewise.
    programs_bytes: Option<u64>,
    /// How often all programs ran. Null unless the kernel counted all the time (`bpf_stats`).
    runs: Option<u64>,
    /// How long they ran, nanoseconds. Null likewise.
    run_ns: Option<u64>,
    /// The same of each attached program, the longest first.
    programs: Option<Vec<ProgramRuns<'a>>>,
    /// The sum of `enqueued` of all listeners. Null: summaries were left out.
    connections: Option<u64>,
    /// Scans for the owners of listeners.
    owners: OwnerScans,
}

/// What an attached program cost.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ProgramRuns<'a> {
    /// Its name.
    program: &'a str,
    /// What it is attached to.
    hook: &'a str,
    /// How often it ran.
    runs: u64,
    /// How long it ran, nanoseconds: from its first instruction to its last.
    run_ns: u64,
}

/// Scans of the descriptors of all processes, for the owners of listeners.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OwnerScans {
    /// How many scans.
    looks: u64,
    /// How long they took together, microseconds.
    elapsed_us: u64,
    /// Processes that the last one read.
    processes: usize,
    /// Descriptors that the last one read.
    descriptors: usize,
    /// Processes that the last one was not permitted to read.
    unreadable: usize,
}

impl<'a> From<&'a cost::Cost> for Cost<'a> {
    fn from(cost: &'a cost::Cost) -> Self {
        let runs = cost.runs();
        let programs = cost.programs.as_ref();
        Self {
            elapsed_ns: cost.elapsed_ns,
            cpu_user_us: cost.cpu.map(|cpu| cpu.user_us),
            cpu_system_us: cost.cpu.map(|cpu| cpu.system_us),
            cpu_before_us: cost.cpu_before.map(Cpu::sum_us),
            rss_bytes: cost.memory.resident,
            rss_anon_bytes: cost.memory.anonymous,
            rss_peak_bytes: cost.memory.peak,
            maps_bytes: cost.maps_bytes,
            programs_bytes: cost.programs_bytes,
            runs: runs.map(|runs| runs.count),
            run_ns: runs.map(|runs| runs.time_ns),
            programs: programs.map(|all| all.iter().map(ProgramRuns::from).collect()),
            connections: cost.connections,
            owners: OwnerScans::from(&cost.looks),
        }
    }
}

impl<'a> From<&'a ProgramCost> for ProgramRuns<'a> {
    fn from(cost: &'a ProgramCost) -> Self {
        let ProgramCost { program, hook, run } = cost;
        Self { program, hook, runs: run.count, run_ns: run.time_ns }
    }
}

impl From<&cost::Looks> for OwnerScans {
    fn from(looks: &cost::Looks) -> Self {
        let cost::Looks { count, elapsed, last } = looks;
        Self {
            looks: *count,
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            processes: last.processes,
            descriptors: last.descriptors,
            unreadable: last.unreadable,
        }
    }
}
