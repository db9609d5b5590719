//! The result of the tests with one kernel and backend, and the table of all results.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::tally::{self, Tally};
use crate::backend::Backend;
use crate::{paths, process};

/// The maximum numbers of first and last lines to show of a failed run: the first lines have the
/// messages of the first test, the last ones the names of all that failed.
const FIRST_LINES: usize = 60;
const LAST_LINES: usize = 60;

/// A kernel, a backend, and the results of the tests.
pub(crate) struct Row {
    /// The kernel's series, or `native`.
    pub(crate) series: String,
    /// None: the backend that the tool has chosen.
    pub(crate) backend: Option<Backend>,
    /// The share of the tests, if they were split.
    pub(crate) share: Option<String>,
    pub(crate) version: String,
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
    /// The names of the tests that failed.
    pub(crate) failed: Vec<String>,
    /// Why they were run a second time.
    pub(crate) again: Option<String>,
    /// Why the result is not reliable.
    pub(crate) trouble: Option<String>,
    /// The complete output.
    pub(crate) output: String,
    /// The file with the output.
    pub(crate) file: PathBuf,
    /// The lines of stderr, which may be mixed with those of stdout in `output`.
    pub(crate) errors: String,
}

impl Row {
    /// Did all tests pass?
    pub(crate) fn passed(&self) -> bool {
        self.trouble.is_none() && self.tally.failed == 0
    }

    /// For unit tests: a row in which only these tests ran, and failed.
    #[cfg(test)]
    pub(crate) fn failed(series: &str, backend: Option<Backend>, failed: &[&str]) -> Self {
        Self {
            series: series.to_owned(),
            backend,
            share: None,
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
            output: String::new(),
            file: PathBuf::new(),
            errors: String::new(),
        }
    }

    /// The name of the row.
    pub(crate) fn label(&self) -> String {
        label(&self.series, self.backend, self.share.as_deref())
    }
}

/// A name made of the kernel, the backend if one was selected, and the share of the tests.
pub(super) fn label(series: &str, backend: Option<Backend>, share: Option<&str>) -> String {
    let words = [Some(series), backend.map(Backend::name), share];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Why the result of a test binary with this exit status is not reliable.
pub(super) fn trouble(status: i32, tally: Tally) -> Option<String> {
    match status {
        // The status of libtest for failed tests, which the tally contains.
        101 if tally.failed > 0 => None,
        0 if tally.results == 0 => Some("printed no test result".to_owned()),
        0 => None,
        status => Some(format!("ended with status {status}")),
    }
}

/// Prints the tally of a run, and writes its output to a file.
pub(super) fn show(label: &str, tally: Tally, output: &str) -> PathBuf {
    let file =
        paths::test_logs().join(format!("{}.log", label.replace(' ', "-").replace('/', "-of-")));
    let written = fs::create_dir_all(paths::test_logs())
        .and_then(|()| fs::write(&file, tally::without_data(output)));
    match written {
        Ok(()) => process::say(&format!("{label}: {tally}: {}", file.display())),
        Err(error) => process::say(&format!("{label}: {tally}; no {}: {error}", file.display())),
    }
    file
}

/// Prints the messages of failed tests, and the first and last lines of a run that was aborted.
pub(super) fn failures(rows: &[Row]) {
    for row in rows.iter().filter(|row| !row.passed()) {
        let label = row.label();
        let told = tally::failures(&row.output).unwrap_or(&row.output);
        let lines: Vec<&str> = told.lines().collect();
        let (first, rest) = lines.split_at(lines.len().min(FIRST_LINES));
        let (cut, last) = rest.split_at(rest.len().saturating_sub(LAST_LINES));
        println!();
        for line in first {
            println!("{label} | {line}");
        }
        if !cut.is_empty() {
            println!("{label} | ({} lines more: {})", cut.len(), row.file.display());
        }
        for line in last {
            println!("{label} | {line}");
        }
    }
}

/// Prints what was not tested, why, and where.
pub(super) fn not_tested(rows: &[Row]) {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        for line in tally::not_tested(&row.output) {
            told.entry(line).or_default().push(row.label());
        }
    }
    for (line, labels) in told {
        println!("not tested: {line} ({})", labels.join(", "));
    }
}

/// Prints the table.
pub(super) fn table(rows: &[Row]) {
    println!(
        "\n{:<8} {:<11} {:<6} {:<20} {:>6} {:>6} {:>7}",
        "kernel", "backend", "share", "version", "passed", "failed", "seconds"
    );
    for row in rows {
        let Row { series, backend, share, version, seconds, tally, again, trouble, .. } = row;
        let backend = backend.map_or("auto", Backend::name);
        let Tally { passed, failed, results: _ } = tally;
        let share = share.as_deref().unwrap_or("");
        println!(
            "{series:<8} {backend:<11} {share:<6} {version:<20} {passed:>6} {failed:>6} {seconds:>7.1}"
        );
        for trouble in again.iter().chain(trouble) {
            println!("{series:<8} {backend:<11} {trouble}");
        }
    }
}
