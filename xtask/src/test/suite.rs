//! Defines what runs for each kernel, in a guest or natively: the guest tests and their settings.
//! It knows their variables and arguments; the tests crate defines what they test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::backend::Backend;
use crate::build;
use crate::process;
use crate::servers::Servers;
use crate::vm::{Added, Emulation};

/// What to run, and how.
pub(crate) struct Suite {
    /// Run only tests whose names contain one of these; empty: all.
    pub(crate) filters: Vec<String>,
    /// Variables that the tests read.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The number of virtual CPUs of a guest.
    pub(crate) cpus: u32,
    /// How a guest's CPUs run.
    pub(crate) emulation: Emulation,
    /// Real servers, for the tests that start them.
    pub(crate) servers: Option<Servers>,
    /// The time limit of one run of all the tests.
    pub(crate) limit: Duration,
    /// Do not run all tests with each kernel and backend: see [`is_whole`].
    pub(crate) short: bool,
}

/// The tests for every kernel and backend: that connections and drops are counted as the kernel
/// counts them.
const CORE: [&str; 3] = ["connections::", "drops::", "refused_and_got_in_later"];
/// The test that the programs load. It runs once per kernel, since it loads all programs that fit,
/// whatever the backend is.
const PROGRAMS: &str = "programs::";

/// The tests of a suite that one guest runs.
pub(crate) struct Share {
    /// Its name, if a kernel and backend have several shares: `1/2`.
    pub(crate) name: Option<String>,
    /// Does it contain only the core of the suite?
    pub(crate) is_core: bool,
    /// The arguments of the test binary, except for those that all shares have.
    tests: Vec<String>,
}

/// Does a short run include all tests here? All tests with every kernel and backend would take
/// hours. So they only run on the oldest kernel with the best backend, and natively: the oldest
/// kernel has the strictest verifier, and its hooks differ most from the others.
fn is_whole(series: &str, backend: Option<Backend>) -> bool {
    matches!((series, backend), (_, None) | ("native", _) | ("5.10", Some(Backend::Fentry)))
}

impl Suite {
    /// The variables for a run with this backend, or with the tool's own choice.
    pub(super) fn environment(&self, backend: Option<Backend>) -> Vec<(&'static str, String)> {
        let mut variables = self.variables.clone();
        if let Some(backend) = backend {
            variables.push(("BACKLOG_TRACE_OPTIONS", format!("--backend {backend}")));
        }
        variables
    }

    /// All tests of the suite, or those that its filters select.
    pub(crate) fn whole(&self) -> Share {
        Share { name: None, is_core: false, tests: self.filters.clone() }
    }

    /// The shares for a kernel and backend. `names` has every guest test. If a short run includes
    /// all tests, they are split among `guests`, which run at the same time.
    pub(super) fn shares(
        &self,
        series: &str,
        backend: Option<Backend>,
        names: &[String],
        guests: usize,
    ) -> Vec<Share> {
        if !self.short {
            vec![self.whole()]
        } else if is_whole(series, backend) {
            (0..guests).map(|number| Share::dealt(names, number, guests)).collect()
        } else {
            vec![Share::core(backend)]
        }
    }

    /// A message if a short run leaves out tests there.
    pub(super) fn cut(&self, series: &str, backend: Option<Backend>) -> Option<String> {
        let label = super::row::label(series, backend, None);
        (self.short && !is_whole(series, backend)).then(|| {
            let tests = Share::core(backend).tests.join(", ");
            format!("{label}: only {tests} (all of it: cargo xtask test --all)")
        })
    }
}

impl Share {
    /// The same tests with a name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn core(backend: Option<Backend>) -> Self {
        let programs = (backend == Some(Backend::ALL[0])).then_some(PROGRAMS);
        let tests = programs.into_iter().chain(CORE).map(str::to_owned).collect();
        Self { name: None, is_core: true, tests }
    }

    /// Every `of`-th test, beginning with this one, since neighbouring tests take about the same
    /// time.
    fn dealt(names: &[String], number: usize, of: usize) -> Self {
        let mut tests = vec!["--exact".to_owned()];
        tests.extend(names.iter().skip(number).step_by(of).cloned());
        Self { name: Some(format!("{}/{of}", number + 1)), is_core: false, tests }
    }

    /// The arguments of the test binary.
    pub(super) fn arguments(&self) -> Vec<String> {
        // One at a time, since some tests inspect the whole kernel.
        let mut arguments = vec!["--test-threads=1".to_owned()];
        arguments.extend(self.tests.iter().cloned());
        arguments
    }
}

/// The programs for a run.
pub(crate) struct Built {
    /// The tool and the programs that the tests start.
    pub(crate) programs: Vec<PathBuf>,
    /// The binary with the guest tests.
    pub(crate) tests: PathBuf,
}

impl Built {
    /// Builds everything.
    pub(crate) fn make() -> Result<Self> {
        let (programs, tests) = build::checked_programs()?;
        Ok(Self { programs, tests })
    }

    /// The names of all guest tests.
    pub(super) fn test_names(&self) -> Result<Vec<String>> {
        let mut command = Command::new(&self.tests);
        command.args(["--list", "--format=terse"]);
        let output = process::capture(&mut command)?;
        let names = output.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    }

    /// The tool.
    pub(crate) fn tool(&self) -> Result<&Path> {
        build::tool(&self.programs)
    }

    /// The programs, for a guest.
    pub(crate) fn programs_added(&self) -> Vec<Added> {
        self.programs.iter().map(|file| Added::program(file)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(short: bool) -> Suite {
        Suite {
            filters: vec!["mix::".to_owned()],
            variables: Vec::new(),
            cpus: 2,
            emulation: Emulation::InTurn,
            servers: None,
            limit: Duration::from_secs(1),
            short,
        }
    }

    fn tests(shares: &[Share]) -> Vec<Vec<&str>> {
        shares.iter().map(|share| share.tests.iter().map(String::as_str).collect()).collect()
    }

    #[test]
    fn every_test_is_dealt_to_one_guest() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let shares = suite(true).shares("5.10", Some(Backend::Fentry), &names, 2);
        assert_eq!(tests(&shares), [vec!["--exact", "a", "c"], vec!["--exact", "b"]]);
        assert_eq!(shares[1].name.as_deref(), Some("2/2"));
    }

    #[test]
    fn elsewhere_a_short_run_has_the_core_and_loads_the_programs_once() {
        let of = |backend| suite(true).shares("6.1", Some(backend), &[], 2);
        let core = vec!["connections::", "drops::", "refused_and_got_in_later"];
        let first = [&["programs::"], &*core].concat();
        assert_eq!(tests(&of(Backend::Fentry)), [first]);
        assert_eq!(tests(&of(Backend::Kprobe)), [core]);
    }

    #[test]
    fn a_run_of_what_was_asked_for_is_not_cut() {
        let shares = suite(false).shares("6.1", Some(Backend::Kprobe), &[], 2);
        assert_eq!(tests(&shares), [["mix::"]]);
        assert!(!shares[0].is_core);
    }
}
