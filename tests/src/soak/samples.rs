//! Memory and descriptors of a process over time.

use std::fs;
use std::time::Duration;

use crate::proc;

/// What a process holds at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    at: Duration,
    /// Anonymous memory in KiB: without files and mapped kernel arrays.
    memory: u64,
    descriptors: u64,
    threads: u64,
}

/// All samples, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

/// The maximum of each value within a part of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

/// Memory may grow by this much from the third quarter to the last one: another page of the heap
/// does not matter, and 1 MiB in a quarter of ten minutes would be 0.6 GiB per day.
const SLACK_KIB: u64 = 1024;
/// The number of descriptors may grow by this much: files of `/proc` may be open when the sample is
/// taken.
const SLACK_DESCRIPTORS: u64 = 3;

impl Samples {
    pub(super) fn take(&mut self, pid: u32, at: Duration) {
        let count = |folder| fs::read_dir(format!("/proc/{pid}/{folder}")).map(Iterator::count);
        let (Some(memory), Ok(descriptors), Ok(threads)) =
            (proc::status_kib(pid, "RssAnon"), count("fd"), count("task"))
        else {
            return;
        };
        let (descriptors, threads) = (descriptors as u64, threads as u64);
        self.0.push(Sample { at, memory, descriptors, threads });
    }

    /// The maximum of each value in the quarters of the time.
    pub(super) fn quarters(&self) -> [Most; 4] {
        let whole = self.0.last().map_or(Duration::ZERO, |last| last.at);
        let mut quarters = [Most::default(); 4];
        for Sample { at, memory, descriptors, threads } in &self.0 {
            let quarter = at.as_nanos() * 4 / whole.as_nanos().max(1);
            let place = usize::try_from(quarter).map_or(3, |quarter| quarter.min(3));
            let most = &mut quarters[place];
            most.memory = most.memory.max(*memory);
            most.descriptors = most.descriptors.max(*descriptors);
            most.threads = most.threads.max(*threads);
        }
        quarters
    }

    /// What grew towards the end.
    pub(super) fn growth(&self) -> Vec<String> {
        let [_, _, third, last] = self.quarters();
        let mut grown = Vec::new();
        let mut check = |what: &str, before: u64, after: u64, slack: u64| {
            if after > before + slack {
                grown.push(format!("{what} grew from {before} to {after} in the last quarter"));
            }
        };
        let slack = SLACK_KIB.max(third.memory / 50);
        check("anonymous memory (KiB)", third.memory, last.memory, slack);
        check("descriptors", third.descriptors, last.descriptors, SLACK_DESCRIPTORS);
        check("threads", third.threads, last.threads, SLACK_DESCRIPTORS);
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, Samples};
    use std::time::Duration;

    fn samples(memory: impl Fn(u64) -> u64) -> Samples {
        let one = |second| Sample {
            at: Duration::from_secs(second),
            memory: memory(second),
            descriptors: 20 + second % 3,
            threads: 5,
        };
        Samples((0..100).map(one).collect())
    }

    #[test]
    fn a_heap_that_fills_up_is_flat_and_one_that_grows_is_not() {
        assert!(samples(|second| 10_000 + second.min(40) * 100).growth().is_empty());
        let growth = samples(|second| 10_000 + second * 100).growth();
        assert_eq!(growth.len(), 1, "{growth:?}");
        assert!(growth[0].contains("anonymous memory"), "{growth:?}");
    }
}
