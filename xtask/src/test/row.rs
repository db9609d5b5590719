//! What came of the tests with one kernel and backend, and the table of it.

use std::io::{self, Write as _};

use super::tally::{self, Tally};
use crate::backend::Backend;

/// A kernel, a backend and what came of the tests.
pub(crate) struct Row {
    /// The kernel's series, or `native`.
    pub(crate) series: String,
    /// None: the tool's own choice.
    pub(crate) backend: Option<Backend>,
    pub(crate) version: String,
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
    /// The names of the tests that failed.
    pub(crate) failed: Vec<String>,
    /// Why it was tested a second time.
    pub(crate) again: Option<String>,
    /// Why the result cannot be taken as it is.
    pub(crate) trouble: Option<String>,
    /// What came on stderr, whole lines of which may stand in the midst of stdout's.
    pub(crate) errors: String,
}

impl Row {
    /// Did all pass?
    pub(crate) fn passed(&self) -> bool {
        self.trouble.is_none() && self.tally.failed == 0
    }

    /// For tests: one where these failed, and no other was run.
    #[cfg(test)]
    pub(crate) fn failed(series: &str, backend: Option<Backend>, failed: &[&str]) -> Self {
        Self {
            series: series.to_owned(),
            backend,
            version: String::new(),
            seconds: 0.0,
            tally: Tally {
                passed: 0,
                failed: u64::try_from(failed.len()).unwrap_or_default(),
                results: 1,
            },
            failed: failed.iter().map(|&test| test.to_owned()).collect(),
            again: None,
            trouble: None,
            errors: String::new(),
        }
    }

    /// What it is called.
    pub(crate) fn label(&self) -> String {
        label(&self.series, self.backend)
    }
}

/// A kernel with a backend, if one was asked for.
pub(super) fn label(series: &str, backend: Option<Backend>) -> String {
    match backend {
        Some(backend) => format!("{series} {backend}"),
        None => series.to_owned(),
    }
}

/// Why the result of a test binary that ended with this status cannot be taken
/// as it is.
pub(super) fn trouble(status: i32, tally: Tally) -> Option<String> {
    match status {
        // libtest's own word for failed tests, which the tally tells.
        101 if tally.failed > 0 => None,
        0 if tally.results == 0 => Some("printed no test result".to_owned()),
        0 => None,
        status => Some(format!("ended with status {status}")),
    }
}

/// Prints a whole output at once, so that two guests' lines do not mix.
pub(super) fn show(label: &str, output: &str) {
    let output = tally::without_data(output);
    let text: Vec<String> = output.lines().map(|line| format!("{label} | {line}\n")).collect();
    // Nothing sensible can be done if our stdout is gone.
    let _ = io::stdout().lock().write_all(text.concat().as_bytes());
}

/// Prints the table.
pub(super) fn table(rows: &[Row]) {
    println!(
        "\n{:<8} {:<11} {:<20} {:>6} {:>6} {:>7}",
        "kernel", "backend", "version", "passed", "failed", "seconds"
    );
    for row in rows {
        let Row { series, backend, version, seconds, tally, again, trouble, .. } = row;
        let backend = backend.map_or("auto", Backend::name);
        let Tally { passed, failed, results: _ } = tally;
        println!("{series:<8} {backend:<11} {version:<20} {passed:>6} {failed:>6} {seconds:>7.1}");
        for trouble in again.iter().chain(trouble) {
            println!("{series:<8} {backend:<11} {trouble}");
        }
    }
}
