//! What is run for each kernel, in a guest or natively: the guest tests and their settings. Knows
//! their variables and arguments; the tests crate knows what they test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::backend::Backend;
use crate::build;
use crate::process;
use crate::servers::Servers;
use crate::vm::{Added, Emulation};

/// What is run, and how.
pub(crate) struct Suite {
    /// Only tests whose names contain one of these; none: all.
    pub(crate) filters: Vec<String>,
    /// Variables that the tests look at.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Virtual CPUs of a guest.
    pub(crate) cpus: u32,
    /// How a guest's CPUs run.
    pub(crate) emulation: Emulation,
    /// Real servers, for the tests that start them.
    pub(crate) servers: Option<Servers>,
    /// Longest time for one run of all the tests.
    pub(crate) limit: Duration,
    /// Not all with each kernel and backend: see [`is_whole`].
    pub(crate) short: bool,
}

/// What is tested with every kernel and backend: that connections and drops are counted as the
/// kernel counts them.
const CORE: [&str; 3] = ["connections::", "drops::", "refused_and_got_in_later"];
/// That the programs load, which is tested once for a kernel: whatever the backend is, all
/// programs that fit are loaded.
const PROGRAMS: &str = "programs::";

/// The tests that one guest runs of a suite.
pub(crate) struct Share {
    /// Its name, if a kernel and backend have several: `1/2`.
    pub(crate) name: Option<String>,
    /// Is it only the core of the suite?
    pub(crate) is_core: bool,
    /// The arguments of the test binary, without those that all shares have.
    tests: Vec<String>,
}

/// Does a short run test all here? The oldest kernel has all tests with the best backend, as this
/// machine's own has with what it permits: all with all takes hours. The oldest, since its
/// verifier is the strictest and its hooks differ most from the others'.
fn is_whole(series: &str, backend: Option<Backend>) -> bool {
    matches!((series, backend), (_, None) | ("native", _) | ("5.10", Some(Backend::Fentry)))
}

impl Suite {
    /// The variables for a run with this backend; none: the tool's own choice.
    pub(super) fn environment(&self, backend: Option<Backend>) -> Vec<(&'static str, String)> {
        let mut variables = self.variables.clone();
        if let Some(backend) = backend {
            variables.push(("BACKLOG_TRACE_OPTIONS", format!("--backend {backend}")));
        }
        variables
    }

    /// All its tests, or those that its filters name.
    pub(crate) fn whole(&self) -> Share {
        Share { name: None, is_core: false, tests: self.filters.clone() }
    }

    /// What guests run for a kernel and backend. `names` has every guest test. Where a short run
    /// has all tests, they are dealt out among `guests`, which run at once.
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

    /// Says that a short run leaves tests out there.
    pub(super) fn cut(&self, series: &str, backend: Option<Backend>) -> Option<String> {
        let label = super::row::label(series, backend, None);
        (self.short && !is_whole(series, backend)).then(|| {
            let tests = Share::core(backend).tests.join(", ");
            format!("{label}: only {tests} (all of it: cargo xtask test --all)")
        })
    }
}

impl Share {
    /// The same tests under a name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn core(backend: Option<Backend>) -> Self {
        let programs = (backend == Some(Backend::ALL[0])).then_some(PROGRAMS);
        let tests = programs.into_iter().chain(CORE).map(str::to_owned).collect();
        Self { name: None, is_core: true, tests }
    }

    /// Every `of`-th test, beginning with this one: neighbours take about as long as each other.
    fn dealt(names: &[String], number: usize, of: usize) -> Self {
        let mut tests = vec!["--exact".to_owned()];
        tests.extend(names.iter().skip(number).step_by(of).cloned());
        Self { name: Some(format!("{}/{of}", number + 1)), is_core: false, tests }
    }

    /// The arguments of the test binary.
    pub(super) fn arguments(&self) -> Vec<String> {
        // One at a time: some tests look at the whole kernel.
        let mut arguments = vec!["--test-threads=1".to_owned()];
        arguments.extend(self.tests.iter().cloned());
        arguments
    }
}

/// What is built for a run.
pub(crate) struct Built {
    /// The tool and the programs that the tests start.
    pub(crate) programs: Vec<PathBuf>,
    /// The guest tests.
    pub(crate) tests: PathBuf,
}

impl Built {
    /// Builds them.
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
