//! Counts and names of passed and failed tests, from the lines that libtest
//! prints. Pure.

use std::fmt;

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Result lines seen: without one, nothing is known.
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

/// The tests that failed, from the list that stands above the result.
pub(super) fn failed_tests(output: &str) -> Vec<String> {
    // The first list of that name holds what the tests printed.
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

/// An output without the lines that are meant for us, which stand between a
/// test's name and its result.
pub(super) fn without_data(output: &str) -> String {
    let marks = ["ROW {", "walked: {"];
    let lines = output.split_inclusive('\n').map(|line| {
        let place = marks.iter().filter_map(|mark| line.find(mark)).min();
        place.and_then(|place| line.get(..place)).unwrap_or(line)
    });
    lines.collect()
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
}
