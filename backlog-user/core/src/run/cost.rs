//! The cost of a run, and arithmetic on it. None means unknown, which is never zero.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often and for how long something ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The number of runs.
    pub count: u64,
    /// Their total time.
    pub time_ns: u64,
}

impl Runs {
    /// The difference to an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            time_ns: self.time_ns.saturating_sub(earlier.time_ns),
        }
    }

    /// The mean time of a run; none if there was none.
    #[must_use]
    pub fn mean_ns(self) -> Option<u64> {
        self.time_ns.checked_div(self.count)
    }
}

impl std::iter::Sum for Runs {
    fn sum<I: Iterator<Item = Self>>(runs: I) -> Self {
        runs.fold(Self::default(), |sum, run| Self {
            count: sum.count.saturating_add(run.count),
            time_ns: sum.time_ns.saturating_add(run.time_ns),
        })
    }
}

/// The runs of one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramCost {
    /// Its name.
    pub program: Cow<'static, str>,
    /// Its hook.
    pub hook: String,
    /// Its runs.
    pub run: Runs,
}

/// CPU time, without that of the `--cmd` command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// In the program, microseconds.
    pub user_us: u64,
    /// In the kernel on its behalf.
    pub system_us: u64,
}

impl Cpu {
    /// The difference to an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn sum_us(self) -> u64 {
        self.user_us.saturating_add(self.system_us)
    }
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Current resident memory. It includes the ring buffer twice, which is mapped twice so that no
    /// record is split at its end.
    pub resident: Option<u64>,
    /// The maximum so far.
    pub peak: Option<u64>,
    /// The part of the resident memory without files and mapped eBPF maps.
    pub anonymous: Option<u64>,
}

/// The cost of a scan of all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Processes whose descriptors were read.
    pub processes: usize,
    /// The number of these descriptors.
    pub descriptors: usize,
    /// Processes that must not be read: other users' without `CAP_SYS_PTRACE`. Processes hidden by
    /// the mount option `hidepid=2` are not counted.
    pub unreadable: usize,
    /// The time from start to end, including the reads of the holders' details.
    pub elapsed: Duration,
}

/// The cost of tracing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// From the first reading to the last one.
    pub elapsed_ns: u64,
    /// CPU time of the process in this period.
    pub cpu: Option<Cpu>,
    /// CPU time before: loading, verifying, attaching.
    pub cpu_before: Option<Cpu>,
    /// Memory of the process.
    pub memory: Memory,
    /// Kernel memory of the maps.
    pub maps_bytes: Option<u64>,
    /// Kernel memory of the programs.
    pub programs_bytes: Option<u64>,
    /// The runs of each program, the longest first.
    pub programs: Option<Vec<ProgramCost>>,
    /// Why the kernel did not count them.
    pub refusal: Option<String>,
    /// Connections that were queued in this period.
    pub connections: Option<u64>,
    /// Scans for the owners of listeners.
    pub looks: Looks,
}

/// Scans of the descriptors of every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    /// The number of scans.
    pub count: u64,
    /// Their total time.
    pub elapsed: Duration,
    /// The result of the last one.
    pub last: Scan,
}

impl Cost {
    /// The runs of all programs.
    #[must_use]
    pub fn runs(&self) -> Option<Runs> {
        Some(self.programs.as_ref()?.iter().map(|program| program.run).sum())
    }

    /// A time in percent of one CPU over the run.
    #[must_use]
    pub fn percent(&self, time_ns: u64) -> f64 {
        time_ns as f64 * 100.0 / self.elapsed_ns.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, ProgramCost, Runs};

    #[test]
    fn sums_and_means() {
        let one = |count, time_ns| ProgramCost {
            program: "x".into(),
            hook: String::new(),
            run: Runs { count, time_ns },
        };
        let programs = Some(vec![one(3, 900), one(0, 0), one(1, 300)]);
        let cost = Cost { elapsed_ns: 12_000, programs, ..Cost::default() };
        let sum = cost.runs().unwrap();
        assert_eq!((sum.count, sum.time_ns, sum.mean_ns()), (4, 1200, Some(300)));
        assert!((cost.percent(sum.time_ns) - 10.0).abs() < 1e-9);
        assert_eq!(Runs::default().mean_ns(), None);
        assert_eq!(Cost::default().runs(), None);
    }
}
