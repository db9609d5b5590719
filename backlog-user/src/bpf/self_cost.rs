//! The cost of the tool itself: CPU time, memory, and the run count and run time of its programs.
//! It is read at the beginning and at the end of the run; the difference is the cost of the run.

mod objects;
mod process;
mod statistics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlog_core::run::cost::{Cost, Cpu, Looks, ProgramCost};

use crate::bpf::plan::Hook;
use crate::clock::monotonic_ns;
use objects::Objects;
use statistics::Statistics;

/// Memory of the maps and of the programs in bytes; None if unknown.
type KernelMemory = (Option<u64>, Option<u64>);

/// Resident memory of this process in bytes; None if unknown.
pub(crate) fn resident() -> Option<u64> {
    process::memory(Path::new("/")).resident
}

/// Measures the cost of the run.
pub(crate) struct Own {
    root: PathBuf,
    /// The kernel's ID of each program. None if unknown.
    programs: Option<BTreeMap<&'static str, u32>>,
    /// The hooks that the programs are attached to.
    hooks: Vec<Hook>,
    statistics: Statistics,
    first: Reading,
    /// When the memory of the maps and programs was last read, and its size.
    memory: Option<(u64, KernelMemory)>,
}

/// The readings at one time.
#[derive(Default)]
struct Reading {
    time_ns: u64,
    cpu: Option<Cpu>,
    objects: Objects,
    /// Are BPF run-time statistics on?
    counted: bool,
}

impl Own {
    /// Reads from `/proc` and `/sys` below `root`, usually `/`. With `statistics`, the kernel
    /// counts program runs from now on.
    pub(crate) fn watch(
        root: &Path,
        programs: Option<BTreeMap<&'static str, u32>>,
        hooks: &[Hook],
        statistics: bool,
    ) -> Self {
        Self {
            root: root.to_owned(),
            programs,
            hooks: hooks.to_vec(),
            statistics: if statistics { Statistics::enable() } else { Statistics::default() },
            first: Reading::default(),
            memory: None,
        }
    }

    /// Are BPF run-time statistics on?
    pub(crate) fn counts_runs(&self) -> bool {
        self.statistics.on(&self.root)
    }

    /// Why the statistics are off although they were requested.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.statistics.refusal().filter(|_| !self.counts_runs())
    }

    /// Starts the measurement.
    pub(crate) fn begin(&mut self) {
        self.first = self.read();
    }

    /// Kernel memory of the maps and programs, at most a minute old: maps hardly grow, and the
    /// kernel recomputes their memory at each read.
    pub(crate) fn kernel_memory(&mut self) -> KernelMemory {
        const MINUTE_NS: u64 = 60_000_000_000;
        let now_ns = monotonic_ns();
        match self.memory {
            Some((read_ns, memory)) if now_ns.saturating_sub(read_ns) < MINUTE_NS => memory,
            _ => {
                let Objects { maps_bytes, programs_bytes, .. } = Objects::read(&self.root);
                let (_, memory) = self.memory.insert((now_ns, (maps_bytes, programs_bytes)));
                *memory
            }
        }
    }

    /// Returns the cost of the run, and lets the kernel stop counting.
    pub(crate) fn end(&mut self) -> Cost {
        let last = self.read();
        let cost = Cost {
            elapsed_ns: last.time_ns.saturating_sub(self.first.time_ns),
            cpu: last.cpu.zip(self.first.cpu).map(|(last, first)| last.since(first)),
            cpu_before: self.first.cpu,
            memory: process::memory(&self.root),
            maps_bytes: last.objects.maps_bytes,
            programs_bytes: last.objects.programs_bytes,
            programs: self.runs(&last),
            refusal: self.refusal().map(str::to_owned),
            connections: None,
            looks: Looks::default(),
        };
        self.statistics = Statistics::default();
        cost
    }

    fn read(&self) -> Reading {
        Reading {
            time_ns: monotonic_ns(),
            cpu: process::cpu(),
            objects: Objects::read(&self.root),
            counted: self.counts_runs(),
        }
    }

    /// The runs of each program, the longest first; None unless they were counted during the whole
    /// run.
    fn runs(&self, last: &Reading) -> Option<Vec<ProgramCost>> {
        let first = Some(&self.first).filter(|first| first.counted && last.counted)?;
        let of = |(name, id): (&&'static str, &u32)| {
            let run = |reading: &Reading| reading.objects.runs.get(id).copied();
            let places = self.hooks.iter().filter(|hook| hook.program == *name);
            Some(ProgramCost {
                program: (*name).into(),
                hook: places.map(Hook::describe).collect::<Vec<_>>().join(" + "),
                run: run(last)?.since(run(first)?),
            })
        };
        let mut runs: Vec<ProgramCost> =
            self.programs.as_ref()?.iter().map(of).collect::<Option<_>>()?;
        runs.sort_by_key(|one| std::cmp::Reverse((one.run.time_ns, one.run.count)));
        Some(runs)
    }
}

#[cfg(test)]
mod tests {
    use backlog_core::run::cost::Runs;

    use super::{Objects, Own, Reading};
    use crate::bpf::plan::{Attach, Hook};
    use std::path::Path;

    fn reading(counted: bool, runs: &[(u32, u64, u64)]) -> Reading {
        let run = |&(id, count, time_ns): &(u32, u64, u64)| (id, Runs { count, time_ns });
        let runs = runs.iter().map(run).collect();
        Reading { counted, objects: Objects { runs, ..Objects::default() }, ..Reading::default() }
    }

    fn own(first: Reading) -> Own {
        let hook = |program, target| Hook { moment: "x", program, target, attach: Attach::Fexit };
        let programs = Some([("fx_a", 7), ("fx_b", 9)].into());
        let hooks = [hook("fx_a", "one"), hook("fx_b", "two"), hook("fx_a", "three")];
        let mut own = Own::watch(Path::new("/none"), programs, &hooks, false);
        own.first = first;
        own
    }

    #[test]
    fn the_runs_are_those_between_the_readings_the_longest_first() {
        let own = own(reading(true, &[(7, 10, 1000), (9, 5, 500)]));
        let runs = own.runs(&reading(true, &[(7, 12, 1100), (9, 6, 900)])).unwrap();
        let told: Vec<_> = runs.iter().map(|one| (one.hook.as_str(), one.run)).collect();
        let run = |count, time_ns| Runs { count, time_ns };
        assert_eq!(told, [("fexit two", run(1, 400)), ("fexit one + fexit three", run(2, 100))]);
    }

    #[test]
    fn what_was_not_counted_all_the_time_or_of_all_programs_is_not_known() {
        let both = [(7, 0, 0), (9, 0, 0)];
        assert!(own(reading(false, &both)).runs(&reading(true, &both)).is_none());
        assert!(own(reading(true, &both)).runs(&reading(false, &both)).is_none());
        assert!(own(reading(true, &both)).runs(&reading(true, &both[..1])).is_none());
        assert_eq!(own(reading(true, &both)).runs(&reading(true, &both)).unwrap().len(), 2);
    }
}
