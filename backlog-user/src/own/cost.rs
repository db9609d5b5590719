//! The cost of a run, and the arithmetic on it. None: not known, which is never zero.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cpu, Memory};
use crate::owner::find;

/// How often and how long something ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// How often.
    pub(crate) count: u64,
    /// How long, all together.
    pub(crate) time_ns: u64,
}

impl Run {
    /// What came after an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            time_ns: self.time_ns.saturating_sub(earlier.time_ns),
        }
    }

    /// How long one took; none if there was none.
    pub(crate) fn mean_ns(self) -> Option<u64> {
        self.time_ns.checked_div(self.count)
    }
}

impl std::iter::Sum for Run {
    fn sum<I: Iterator<Item = Self>>(runs: I) -> Self {
        runs.fold(Self::default(), |sum, run| Self {
            count: sum.count + run.count,
            time_ns: sum.time_ns + run.time_ns,
        })
    }
}

/// The runs of one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProgramCost {
    /// Its name.
    pub(crate) program: Cow<'static, str>,
    /// What it is attached to.
    pub(crate) hook: String,
    /// Its runs.
    pub(crate) run: Run,
}

/// What tracing cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From the first reading to the last one.
    pub(crate) elapsed_ns: u64,
    /// CPU time of the process meanwhile.
    pub(crate) cpu: Option<Cpu>,
    /// The same until then: loading, verifying, attaching.
    pub(crate) cpu_before: Option<Cpu>,
    /// Memory of the process.
    pub(crate) memory: Memory,
    /// Kernel memory of the maps.
    pub(crate) maps_bytes: Option<u64>,
    /// Kernel memory of the programs.
    pub(crate) programs_bytes: Option<u64>,
    /// The runs of each program, the longest first.
    pub(crate) programs: Option<Vec<ProgramCost>>,
    /// Why the kernel would not count them.
    pub(crate) refusal: Option<String>,
    /// Connections that were queued meanwhile.
    pub(crate) connections: Option<u64>,
    /// Looks for the owners of listeners.
    pub(crate) looks: Looks,
}

/// Looks at the descriptors of every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looks {
    /// How many there were.
    pub(crate) count: u64,
    /// The time that they took together.
    pub(crate) elapsed: Duration,
    /// What the last one has seen.
    pub(crate) last: find::Cost,
}

impl Cost {
    /// The runs of all programs.
    pub(crate) fn runs(&self) -> Option<Run> {
        Some(self.programs.as_ref()?.iter().map(|program| program.run).sum())
    }

    /// A time in percent of one CPU over the run.
    pub(crate) fn percent(&self, time_ns: u64) -> f64 {
        time_ns as f64 * 100.0 / self.elapsed_ns.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, ProgramCost, Run};

    #[test]
    fn sums_and_means() {
        let one = |count, time_ns| ProgramCost {
            program: "x".into(),
            hook: String::new(),
            run: Run { count, time_ns },
        };
        let programs = Some(vec![one(3, 900), one(0, 0), one(1, 300)]);
        let cost = Cost { elapsed_ns: 12_000, programs, ..Cost::default() };
        let sum = cost.runs().unwrap();
        assert_eq!((sum.count, sum.time_ns, sum.mean_ns()), (4, 1200, Some(300)));
        assert!((cost.percent(sum.time_ns) - 10.0).abs() < 1e-9);
        assert_eq!(Run::default().mean_ns(), None);
        assert_eq!(Cost::default().runs(), None);
    }
}
