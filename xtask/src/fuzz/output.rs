//! Parses the output of libFuzzer, and renders a table of it.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The results of a run of libFuzzer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The number of inputs that were read.
    runs: u64,
    /// The number of covered places in the code, and of distinct features.
    coverage: u64,
    features: u64,
    /// The number of inputs that are kept, since each covers something that others do not.
    corpus: u64,
    /// The largest resident memory, MiB.
    peak_mib: u64,
    /// Inputs that broke something.
    pub(crate) findings: Vec<PathBuf>,
}

impl Counted {
    /// Parses libFuzzer's messages: `#4194304 NEW cov: 8 ft: 8 corp: 2/6b ...`, and
    /// `stat::number_of_executed_units: 18729633` at the end.
    pub(crate) fn of(log: &str) -> Self {
        let statistic = |name: &str| {
            log.lines().rev().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let status = |line: &str| line.starts_with('#') && line.contains(" cov: ");
        let last = log.lines().rfind(|line| status(line)).unwrap_or_default();
        let words: Vec<&str> = last.split_whitespace().collect();
        let after = |name: &str| {
            let place = words.iter().position(|word| *word == name)?;
            words.get(place + 1)?.split('/').next()?.parse().ok()
        };
        Self {
            runs: statistic("stat::number_of_executed_units:").unwrap_or(0),
            coverage: after("cov:").unwrap_or(0),
            features: after("ft:").unwrap_or(0),
            corpus: after("corp:").unwrap_or(0),
            peak_mib: statistic("stat::peak_rss_mb:").unwrap_or(0),
            findings: Vec::new(),
        }
    }
}

/// Renders a table of the readers.
pub(crate) fn table(rows: &[(&str, Counted)]) -> String {
    let mut text = format!(
        "{:<10} {:>10} {:>9} {:>9} {:>7} {:>9}  findings\n",
        "reader", "runs", "coverage", "features", "corpus", "peak MiB"
    );
    for (name, counted) in rows {
        let Counted { runs, coverage, features, corpus, peak_mib, findings } = counted;
        let names: Vec<String> = findings.iter().map(|file| file.display().to_string()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:<10} {runs:>10} {coverage:>9} {features:>9} {corpus:>7} {peak_mib:>9}  {names}"
        );
    }
    text
}

/// The part of the messages that says what broke.
pub(crate) fn why(log: &str) -> String {
    let signs = ["panicked at", "ERROR: libFuzzer"];
    let first = log.lines().position(|line| signs.iter().any(|sign| line.contains(sign)));
    let lines: Vec<&str> = log.lines().skip(first.unwrap_or(0)).take(LINES).collect();
    lines.join("\n")
}

/// The maximum number of lines of messages to show.
const LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::{Counted, why};

    const LOG: &str = "INFO: Seed: 1\n\
        #2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 27Mb\n\
        #203\tNEW    cov: 8 ft: 9 corp: 2/6b lim: 6 exec/s: 0 rss: 27Mb L: 5/5\n";

    #[test]
    fn the_last_status_and_the_statistics_count() {
        let log = format!(
            "{LOG}stat::number_of_executed_units: 18729633\nstat::peak_rss_mb:              31\n"
        );
        let expected = Counted {
            runs: 18_729_633,
            coverage: 8,
            features: 9,
            corpus: 2,
            peak_mib: 31,
            findings: Vec::new(),
        };
        assert_eq!(Counted::of(&log), expected);
    }

    #[test]
    fn the_reason_begins_with_the_panic() {
        let log = format!("{LOG}thread '<unnamed>' panicked at x.rs:1:1:\noverflow\n");
        assert!(why(&log).starts_with("thread '<unnamed>' panicked at"), "{}", why(&log));
    }
}
