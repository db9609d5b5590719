//! Finds the limit that applied when a queue was deepest: `listen()` can change it within an
//! interval.

/// The previous limits in the running interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FormerLimits(Option<Former>);

#[derive(Clone, Copy, Debug)]
struct Former {
    /// The smallest of them.
    least: u32,
    /// When the only one of them was replaced; none: unknown, or there were several.
    until_ns: Option<u64>,
}

impl FormerLimits {
    /// Records that this limit was replaced, and when, if that is known.
    pub(super) fn replaced(&mut self, was: u32, time_ns: Option<u64>) {
        self.0 = Some(match self.0 {
            None => Former { least: was, until_ns: time_ns },
            Some(before) => Former { least: before.least.min(was), until_ns: None },
        });
    }

    /// Ends the interval. Returns the limit at its peak, or, if it is unknown which limit applied,
    /// the smallest one of the interval, so that no high use is missed.
    pub(super) fn at_peak(&mut self, now: u32, peak_ns: Option<u64>) -> u32 {
        let Some(Former { least, until_ns }) = self.0.take() else { return now };
        match peak_ns.zip(until_ns) {
            Some((peak_ns, until_ns)) if peak_ns >= until_ns => now,
            Some(_) => least,
            None => least.min(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FormerLimits;

    #[test]
    fn the_limit_at_the_peak_is_that_of_its_time() {
        let at_peak = |changes: &[(u32, Option<u64>)], peak_ns| {
            let mut limits = FormerLimits::default();
            for (was, time_ns) in changes {
                limits.replaced(*was, *time_ns);
            }
            let limit = limits.at_peak(128, peak_ns);
            assert_eq!(limits.at_peak(128, peak_ns), 128, "an interval has its own");
            limit
        };
        assert_eq!(at_peak(&[], None), 128);
        assert_eq!(at_peak(&[(16, Some(50))], Some(49)), 16);
        assert_eq!(at_peak(&[(16, Some(50))], Some(50)), 128);
        assert_eq!(at_peak(&[(4096, Some(50))], Some(49)), 4096);
        // The smallest one, if it is unknown which applied.
        assert_eq!(at_peak(&[(16, Some(50))], None), 16);
        assert_eq!(at_peak(&[(4096, None)], Some(49)), 128);
        assert_eq!(at_peak(&[(16, Some(50)), (64, Some(60))], Some(70)), 16);
    }
}
