//! Counts of passed and failed tests, from the lines that libtest prints. Pure.

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
}
