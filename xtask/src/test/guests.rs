//! The guest tests in each kernel: two guests at a time, each one's output
//! shown whole when it is done, and a table at the end. Booting is `vm`'s
//! business, what is tested is the tests crate's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::tally::Tally;
use crate::kernels::{Kernel, Kernels, MATRIX};
use crate::setup::{Need, Report};
use crate::vm::{self, Added, ConsoleLog, Emulation, Guest, Sinks, Verdict};
use crate::{build, process};

/// Two guests of two CPUs: under TCG more would only get in each other's way.
const AT_ONCE: usize = 2;
pub(crate) const LIMIT: Duration = Duration::from_mins(10);
/// The longest test takes a minute and a half.
pub(crate) const QUIET_LIMIT: Duration = Duration::from_mins(5);

/// A kernel to test.
struct Wanted {
    series: String,
    kernel: Kernel,
}

/// A kernel and what came of it.
struct Row {
    series: String,
    version: String,
    seconds: f64,
    tally: Tally,
    /// Why it was tested a second time.
    again: Option<String>,
    /// Why the result cannot be taken as it is.
    trouble: Option<String>,
    /// What came on stderr.
    errors: String,
}

/// What is run in each guest, and how.
pub(crate) struct Suite {
    /// Only tests whose names contain one of these; none: all.
    pub(crate) filters: Vec<String>,
    /// Variables that the tests look at.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Virtual CPUs.
    pub(crate) cpus: u32,
    pub(crate) emulation: Emulation,
    /// Longest time for a guest.
    pub(crate) limit: Duration,
}

impl Suite {
    /// The guest's command line.
    fn command(&self) -> Vec<OsString> {
        let mut command = vec!["env".to_owned()];
        command.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.extend(["/guest-tests", "--test-threads=1"].map(str::to_owned));
        command.extend(self.filters.clone());
        command.into_iter().map(OsString::from).collect()
    }
}

/// What is added to each guest: the programs and the tests.
fn additions() -> Result<Vec<Added>> {
    let mut added: Vec<Added> =
        build::static_programs()?.iter().map(|file| Added::program(file)).collect();
    added.push(Added { host: build::guest_tests()?, guest: "/guest-tests".to_owned() });
    Ok(added)
}

/// What one kernel's tests printed.
pub(crate) struct Printed {
    pub(crate) series: String,
    pub(crate) version: String,
    /// What came on stderr, whole lines of which may stand in the midst of stdout's.
    pub(crate) errors: String,
    /// Did all pass?
    pub(crate) passed: bool,
}

/// Runs a suite in every wanted kernel for what the tests print.
pub(crate) fn collect(report: &Report, wanted: &[String], suite: &Suite) -> Result<Vec<Printed>> {
    report.require(Need::Guests)?;
    let (kernels, untested) = obtain(wanted)?;
    for line in &untested {
        process::say(line);
    }
    let rows = test_all(kernels, suite, &additions()?);
    let printed = |row: Row| Printed {
        passed: row.trouble.is_none() && row.tally.failed == 0,
        series: row.series,
        version: row.version,
        errors: row.errors,
    };
    Ok(rows.into_iter().map(printed).collect())
}

/// Tests every wanted kernel. An error if any failed, or none was there.
pub(super) fn run(
    report: &Report,
    wanted: &[String],
    suite: &Suite,
    tally: &mut Tally,
) -> Result<()> {
    report.require(Need::Guests).context("no kernel was tested")?;
    let (kernels, untested) = obtain(wanted)?;
    let rows = test_all(kernels, suite, &additions()?);
    println!(
        "\n{:<8} {:<20} {:>6} {:>6} {:>7}",
        "kernel", "version", "passed", "failed", "seconds"
    );
    for Row { series, version, seconds, tally: one, again, trouble, errors: _ } in &rows {
        println!("{series:<8} {version:<20} {:>6} {:>6} {seconds:>7.1}", one.passed, one.failed);
        for trouble in again.iter().chain(trouble) {
            println!("{series:<8} {trouble}");
        }
        tally.add(*one);
    }
    for line in untested {
        println!("{line}");
    }
    if rows.is_empty() {
        bail!("no kernel was tested");
    }
    let bad: Vec<&str> = rows
        .iter()
        .filter(|row| row.trouble.is_some() || row.tally.failed > 0)
        .map(|row| row.series.as_str())
        .collect();
    if !bad.is_empty() {
        bail!("guest tests failed in kernel {}", bad.join(", "));
    }
    Ok(())
}

/// The kernels that can be had, and a line for each that cannot.
fn obtain(wanted: &[String]) -> Result<(Vec<Wanted>, Vec<String>)> {
    let matrix: Vec<String> = MATRIX.iter().map(|&series| series.to_owned()).collect();
    let wanted = if wanted.is_empty() { &matrix } else { wanted };
    let store = Kernels::open()?;
    let mut kernels = Vec::new();
    let mut untested = Vec::new();
    for series in wanted {
        match store.find(series)? {
            Some(kernel) => kernels.push(Wanted { series: series.clone(), kernel }),
            None => untested.push(format!("{series}: not tested: no suite lists it")),
        }
    }
    Ok((kernels, untested))
}

/// A row for each kernel, in their order.
fn test_all(kernels: Vec<Wanted>, suite: &Suite, added: &[Added]) -> Vec<Row> {
    let total = kernels.len();
    let queue: VecDeque<(usize, Wanted)> = kernels.into_iter().enumerate().collect();
    let queue = Mutex::new(queue);
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(total) {
            scope.spawn(|| {
                loop {
                    let Some((place, Wanted { series, kernel })) = lock(&queue).pop_front() else {
                        break;
                    };
                    process::say(&format!(
                        "testing kernel {series} ({}), {} of {total}",
                        kernel.name,
                        place + 1
                    ));
                    let row = test_one(series, &kernel, suite, added);
                    lock(&rows).push((place, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn test_one(series: String, kernel: &Kernel, suite: &Suite, added: &[Added]) -> Row {
    let guest = Guest {
        kernel,
        cpus: suite.cpus,
        memory: vm::MEMORY,
        emulation: suite.emulation,
        limit: suite.limit,
        quiet_limit: Some(QUIET_LIMIT),
        added,
        command: &suite.command(),
    };
    let (mut boot, mut again) = (Boot::of(&guest), None);
    // What is not the emulator's fault happens again.
    if let Some(why) = boot.may_be_the_emulator() {
        let why = format!("{why} (console: {}); tested again", boot.console);
        process::say(&format!("kernel {series}: {why}"));
        show(&series, &boot.output.text());
        again = Some(why);
        boot = Boot::of(&guest);
    }
    let Boot { outcome, output, errors, .. } = &boot;
    let output = output.text();
    let tally = Tally::of(&output);
    let trouble = match outcome.as_ref().map_err(|error| format!("{error:#}")) {
        Ok(outcome) => match vm::describe(&guest, outcome) {
            Err(error) => {
                Some(format!("{error:#}, in {} (console: {})", last_test(&output), boot.console))
            }
            // 101 is libtest's own word for failed tests, which the tally tells.
            Ok(101) if tally.failed > 0 => None,
            Ok(0) if tally.results == 0 => Some("printed no test result".to_owned()),
            Ok(0) => None,
            Ok(status) => Some(format!("ended with status {status}")),
        },
        Err(error) => Some(error),
    };
    show(&series, &output);
    let seconds = outcome.as_ref().map_or(0.0, |outcome| outcome.total.as_secs_f64());
    let (version, errors) = (kernel.name.clone(), errors.text());
    Row { series, version, seconds, tally, again, trouble, errors }
}

/// A guest's run.
struct Boot {
    outcome: Result<vm::Outcome>,
    output: Saved,
    errors: Saved,
    /// The file of its console.
    console: String,
}

impl Boot {
    fn of(guest: &Guest<'_>) -> Self {
        let (output, errors) = (Saved::default(), Saved::default());
        let mut console = String::new();
        let outcome = ConsoleLog::new(guest.kernel).and_then(|log| {
            console = log.path.display().to_string();
            let outcome = vm::boot(guest, || {
                Ok(Sinks {
                    stdout: Box::new(output.clone()),
                    stderr: Box::new(Both(output.clone(), errors.clone())),
                    console: Box::new(log.writer()?),
                })
            })?;
            if !matches!(outcome.verdict, Verdict::Ended(_)) {
                // Nobody can be told of a failure here.
                let _ = output.clone().write_all(log.tail().as_bytes());
            }
            Ok(outcome)
        });
        Self { outcome, output, errors, console }
    }

    /// Why this may be no fault of what is tested.
    fn may_be_the_emulator(&self) -> Option<String> {
        let outcome = self.outcome.as_ref().ok()?;
        match &outcome.verdict {
            Verdict::Silent => Some(format!("it hung in {}", last_test(&self.output.text()))),
            _ if vm::is_emulators_fault(outcome) => {
                Some("a crash of the emulator's own making".to_owned())
            }
            _ => None,
        }
    }
}

/// The test that was running when the output ended.
fn last_test(output: &str) -> &str {
    let mut tests =
        output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ..."));
    tests.next_back().map_or("no test", |(name, _)| name)
}

/// Prints a whole output at once, so that two guests' lines do not mix.
fn show(series: &str, output: &str) {
    let text: Vec<String> = output.lines().map(|line| format!("{series:<5}| {line}\n")).collect();
    // Nothing sensible can be done if our stdout is gone.
    let _ = io::stdout().lock().write_all(text.concat().as_bytes());
}

/// A guest's stdout and stderr in the order they came.
#[derive(Clone, Default)]
struct Saved(Arc<Mutex<Vec<u8>>>);

impl Saved {
    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

impl io::Write for Saved {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to both.
struct Both(Saved, Saved);

impl io::Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic in another thread leaves nothing half-done in what we share.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::last_test;

    #[test]
    fn the_last_test_is_the_one_that_did_not_end() {
        let output = "running 2 tests\ntest a::b ... ok\ntest a::c ...    1.0 s  a::b\nx\n";
        assert_eq!(last_test(output), "a::c");
        assert_eq!(last_test(""), "no test");
    }
}
