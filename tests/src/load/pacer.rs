//! When clients go: a schedule fixed from the start, shared by all client
//! threads. A late connect does not put off those after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::options::Options;

/// The schedule.
#[derive(Debug)]
pub(super) struct Pacer {
    next: AtomicU64,
    limit: Option<u64>,
    /// When the last connect may begin.
    pub(super) until: Option<Instant>,
    start: Instant,
    rate: f64,
}

impl Pacer {
    /// Begins now.
    pub(super) fn start(options: &Options) -> Self {
        let start = Instant::now();
        Self {
            next: AtomicU64::new(0),
            limit: options.limit(),
            until: options.duration.map(|duration| start + duration),
            start,
            rate: options.rate,
        }
    }

    /// Takes the next connect of the schedule and says when it is due; none
    /// when there is no more.
    pub(super) fn claim(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.limit.is_some_and(|limit| number >= limit) {
            return None;
        }
        let due = if self.rate > 0.0 {
            let seconds = number as f64 / self.rate;
            self.start + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
        } else {
            Instant::now()
        };
        match self.until {
            Some(until) if due >= until => None,
            _ => Some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn pacer(line: &str) -> Pacer {
        Pacer::start(&Options::parse_from(line.split(' ')))
    }

    #[test]
    fn a_rate_spreads_the_connects() {
        let pacer = pacer("load --count 3 --rate 10");
        let due: Vec<_> = std::iter::from_fn(|| pacer.claim()).collect();
        assert_eq!(due.len(), 3);
        assert_eq!(due[2] - due[0], Duration::from_millis(200));
    }

    #[test]
    fn a_duration_ends_the_schedule() {
        let pacer = pacer("load --duration 1s --rate 10");
        assert_eq!(std::iter::from_fn(|| pacer.claim()).count(), 10);
    }
}
