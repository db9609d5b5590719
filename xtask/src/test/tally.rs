//! Counts passed and failed tests in the output of libtest, and finds their names. Pure.

use std::collections::BTreeSet;
use std::fmt;

/// The numbers of passed and failed tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The number of result lines: without one, the counts mean nothing.
    pub(crate) results: u64,
}

impl Tally {
    /// Adds a line if it is a result: `test result: ok. 5 passed; 0 failed; ...`
    pub(crate) fn add_line(&mut self, line: &str) {
        if let Some((passed, failed)) = parse(line) {
            self.passed += passed;
            self.failed += failed;
            self.results += 1;
        }
    }

    /// The tally of a whole output.
    pub(crate) fn of(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            tally.add_line(line);
        }
        tally
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { passed, failed, results } = other;
        self.passed += passed;
        self.failed += failed;
        self.results += results;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, results: _ } = self;
        write!(f, "{passed} passed, {failed} failed")
    }
}

fn parse(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut counts = counts.split("; ");
    let mut next = |suffix| counts.next()?.strip_suffix(suffix)?.parse().ok();
    Some((next(" passed")?, next(" failed")?))
}

/// The names of the failed tests, from the list before the result.
pub(super) fn failed_tests(output: &str) -> Vec<String> {
    // The first list with that heading contains the messages of the tests.
    let Some((_, list)) = output.rsplit_once("\nfailures:\n") else {
        return Vec::new();
    };
    let names = list.lines().map_while(|line| line.strip_prefix("    "));
    names.map(str::to_owned).collect()
}

/// The test that was running when the output ended.
pub(super) fn last_test(output: &str) -> &str {
    let mut tests =
        output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ..."));
    tests.next_back().map_or("no test", |(name, _)| name)
}

/// The output without data lines, which are between the name of a test and its result.
pub(super) fn without_data(output: &str) -> String {
    let marks = ["ROW {", "walked: {"];
    let lines = output.split_inclusive('\n').map(|line| {
        let place = marks.iter().filter_map(|mark| line.find(mark)).min();
        place.and_then(|place| line.get(..place)).unwrap_or(line)
    });
    lines.collect()
}

/// The messages and list of the failed tests; None if no test failed.
pub(super) fn failures(output: &str) -> Option<&str> {
    let place = output.find("\nfailures:\n")?;
    output.get(place..).map(str::trim)
}

/// What was not tested and why, each once: the lines that the tests print for it, without the
/// options that distinguish variants of a case.
pub(super) fn not_tested(output: &str) -> BTreeSet<String> {
    let marks = ["absent: ", "not seen by "];
    let told = output.lines().filter_map(|line| {
        let place = marks.iter().filter_map(|mark| line.find(mark)).min()?;
        line.get(place..)
    });
    told.map(without_options).collect()
}

/// Shortens `absent: case --family v4 --here: why` to `absent: case: why`.
fn without_options(line: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            kept.push(word.to_owned());
            continue;
        }
        let mut last = word;
        if !word.ends_with(':')
            && let Some(value) = words.next_if(|next| !next.starts_with("--"))
        {
            last = value;
        }
        if let (true, Some(name)) = (last.ends_with(':'), kept.last_mut()) {
            name.push(':');
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_result_lines_only() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 2 passed; 11 failed; 0 ignored; 0 measured; 0 filtered out\n\
            I say: test result: ok. 9 passed; 0 failed\n";
        let tally = Tally::of(output);
        assert_eq!(tally, Tally { passed: 5, failed: 11, results: 2 });
        assert_eq!(tally.to_string(), "5 passed, 11 failed");
    }

    #[test]
    fn failed_tests_are_named_once() {
        let output = "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\n    x\n\n\
            failures:\n    a::b\n    a::c\n\ntest result: FAILED. 1 passed; 2 failed; 0 ignored\n";
        assert_eq!(failed_tests(output), ["a::b", "a::c"]);
        assert!(failed_tests("test result: ok. 1 passed; 0 failed\n").is_empty());
    }

    #[test]
    fn the_last_test_is_the_one_that_did_not_end() {
        let output = "running 2 tests\ntest a::b ... ok\ntest a::c ...    1.0 s  a::b\nx\n";
        assert_eq!(last_test(output), "a::c");
        assert_eq!(last_test(""), "no test");
    }

    #[test]
    fn data_is_not_shown() {
        let output =
            "test a ... ROW {\"name\":1}\nwalked: {\"program\":2}\nok\n   1.0 s  a\nROW by ROW\n";
        assert_eq!(without_data(output), "test a ... ok\n   1.0 s  a\nROW by ROW\n");
    }

    #[test]
    fn only_what_the_failed_ones_said_is_told() {
        let output = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n    x\n\n\
            failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n";
        let told = failures(output).unwrap();
        assert!(told.starts_with("failures:\n\n---- b stdout ----"), "{told}");
        assert!(told.ends_with("0 ignored"), "{told}");
        assert_eq!(failures("test a ... ok\n"), None);
    }

    #[test]
    fn what_was_not_tested_is_told_once_for_all_variants() {
        let output = "test a ... absent: moved --family v4 --here: too old: 5.13\n\
            absent: moved --family v6 --here: too old: 5.13\n   1.0 s  a\nok\n\
            not seen by tracepoint: left\nabsent: mix --count 3: no\n";
        let told: Vec<String> = not_tested(output).into_iter().collect();
        let expected =
            ["absent: mix: no", "absent: moved: too old: 5.13", "not seen by tracepoint: left"];
        assert_eq!(told, expected);
    }
}
