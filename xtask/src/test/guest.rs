//! Runs the tests in one guest: boots it, watches it, and evaluates the result. `vm` does the
//! booting.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::guests::{Job, Wanted};
use super::row::{self, Row};
use super::tally::{self, Tally};
use crate::vm::{self, Added, Both, ConsoleLog, Guest, Saved, Sinks, Verdict};
use crate::{process, servers};

/// The path of the tests in a guest.
const TESTS: &str = "/guest-tests";
/// The longest test takes a minute and a half.
const QUIET_LIMIT: Duration = Duration::from_mins(5);

/// The test binary for a guest.
pub(super) fn tests_added(host: &Path) -> Added {
    Added { host: host.to_path_buf(), guest: TESTS.to_owned() }
}

/// The command line in the guest.
fn command(job: &Job<'_>) -> Vec<OsString> {
    let Job { backend, suite, share, .. } = job;
    let mut command = vec!["env".to_owned()];
    let mut variables = suite.environment(*backend);
    if suite.servers.is_some() {
        variables.push((servers::VARIABLE, "/disk".to_owned()));
    }
    command.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    command.push(TESTS.to_owned());
    command.extend(share.arguments());
    command.into_iter().map(OsString::from).collect()
}

/// Tests one kernel with one backend.
pub(super) fn test(job: &Job<'_>, added: &[Added]) -> Row {
    let Job { wanted: Wanted { series, kernel }, backend, suite, share } = job;
    let guest = Guest {
        kernel,
        cpus: suite.cpus,
        memory: vm::MEMORY,
        emulation: suite.emulation,
        limit: suite.limit,
        quiet_limit: Some(QUIET_LIMIT),
        added,
        disk: suite.servers.as_ref().map(|servers| &*servers.disk),
        command: &command(job),
    };
    let label = job.label();
    let (mut boot, mut again) = (Boot::of(&guest), None);
    // Run it again: only a failure that is not the emulator's fault is reproducible.
    if let Some(why) = boot.may_be_the_emulator() {
        let why = format!("{why} (console: {}); tested again", boot.console);
        process::say(&format!("kernel {label}: {why}"));
        let tally = Tally::of(&boot.results.text());
        row::show(&format!("{label} first"), tally, &boot.output.text());
        again = Some(why);
        boot = Boot::of(&guest);
    }
    let Boot { outcome, output, results, errors, .. } = &boot;
    let results = results.text();
    let tally = Tally::of(&results);
    let trouble = match outcome.as_ref().map_err(|error| format!("{error:#}")) {
        Ok(outcome) => match vm::describe(&guest, outcome) {
            Err(error) => {
                let last = tally::last_test(&results);
                Some(format!("{error:#}, in {last} (console: {})", boot.console))
            }
            Ok(status) => row::trouble(status.into(), tally),
        },
        Err(error) => Some(error),
    };
    let output = output.text();
    let file = row::show(&label, tally, &output);
    Row {
        series: series.clone(),
        backend: *backend,
        share: share.name.clone(),
        version: kernel.name.clone(),
        seconds: outcome.as_ref().map_or(0.0, |outcome| outcome.total.as_secs_f64()),
        tally,
        failed: tally::failed_tests(&results),
        again,
        trouble,
        output,
        file,
        errors: errors.text(),
    }
}

/// A run of a guest.
struct Boot {
    outcome: Result<vm::Outcome>,
    /// Stdout and stderr, roughly in order, since each has its own port.
    output: Saved,
    /// Stdout alone, with the unmixed lines of libtest.
    results: Saved,
    /// Stderr alone.
    errors: Saved,
    /// The file with its console.
    console: String,
}

impl Boot {
    fn of(guest: &Guest<'_>) -> Self {
        let [output, results, errors] = [(); 3].map(|()| Saved::default());
        let mut console = String::new();
        let outcome = ConsoleLog::new(guest.kernel).and_then(|log| {
            console = log.path.display().to_string();
            let outcome = vm::boot(guest, || {
                Ok(Sinks {
                    stdout: Box::new(Both(output.clone(), results.clone())),
                    stderr: Box::new(Both(output.clone(), errors.clone())),
                    console: Box::new(log.writer()?),
                })
            })?;
            if !matches!(outcome.verdict, Verdict::Ended(_)) {
                // The log is an extra: a failed write is ignored.
                let _ = output.clone().write_all(log.tail().as_bytes());
            }
            Ok(outcome)
        });
        Self { outcome, output, results, errors, console }
    }

    /// Why the tested code may not be at fault.
    fn may_be_the_emulator(&self) -> Option<String> {
        let outcome = self.outcome.as_ref().ok()?;
        match &outcome.verdict {
            Verdict::Silent => {
                Some(format!("it hung in {}", tally::last_test(&self.results.text())))
            }
            _ if vm::is_emulators_fault(outcome) => {
                Some("a crash of the emulator's own making".to_owned())
            }
            _ => None,
        }
    }
}
