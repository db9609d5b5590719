//! What is run for each kernel, in a guest or natively: the guest tests and their settings. Knows
//! their variables and arguments; the tests crate knows what they test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::backend::Backend;
use crate::build::{self, Profile};
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

/// What is tested with every kernel and backend: that the programs load, and that they count
/// connections and drops as the kernel does.
const CORE: [&str; 4] = ["programs::", "connections::", "drops::", "refused_and_got_in_later"];

/// Is a short run's suite whole here? The oldest kernel has all tests with the best backend, as
/// this machine's own has with what it permits: all with all takes hours. The oldest, since its
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

    /// The arguments of the test binary.
    pub(super) fn arguments(&self, series: &str, backend: Option<Backend>) -> Vec<String> {
        // One at a time: some tests look at the whole kernel.
        let mut arguments = vec!["--test-threads=1".to_owned()];
        if self.is_cut(series, backend) {
            arguments.extend(CORE.map(str::to_owned));
        } else {
            arguments.extend(self.filters.clone());
        }
        arguments
    }

    /// Is only the core tested there?
    pub(super) fn is_cut(&self, series: &str, backend: Option<Backend>) -> bool {
        self.short && !is_whole(series, backend)
    }

    /// Says so.
    pub(super) fn cut(&self, series: &str, backend: Option<Backend>) -> Option<String> {
        let label = super::row::label(series, backend);
        self.is_cut(series, backend).then(|| {
            format!("{label}: only {} (all of it: cargo xtask test --all)", CORE.join(", "))
        })
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
        Ok(Self {
            programs: build::static_programs(Profile::Release)?,
            tests: build::guest_tests()?,
        })
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
