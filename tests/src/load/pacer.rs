//! The schedule of the clients, which is fixed from the start and shared by all client threads. A
//! late connect does not delay the following ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

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
    burst: u64,
    /// The seconds from the start to the next random connect.
    random: Option<Mutex<(Rng, f64)>>,
}

impl Pacer {
    /// Starts now.
    pub(super) fn start(options: &Options) -> Self {
        let start = Instant::now();
        Self {
            next: AtomicU64::new(0),
            limit: options.limit(),
            until: options.duration.map(|duration| start + duration),
            start,
            rate: options.rate,
            burst: options.burst.max(1),
            random: options.poisson.map(|seed| Mutex::new((Rng::with_seed(seed), 0.0))),
        }
    }

    /// Takes the next connect of the schedule, and returns when it is due; None at the end.
    pub(super) fn claim(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.limit.is_some_and(|limit| number >= limit) {
            return None;
        }
        let due = if self.rate > 0.0 {
            let seconds = self
                .at_random()
                .unwrap_or_else(|| (number / self.burst * self.burst) as f64 / self.rate);
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

impl Pacer {
    /// The next time of a Poisson process.
    fn at_random(&self) -> Option<f64> {
        let mut state = self.random.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let (random, seconds) = &mut *state;
        // The logarithm of a uniform random number is distributed like such pauses.
        *seconds -= (1.0 - random.f64()).ln() / self.rate;
        Some(*seconds)
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
    fn a_burst_goes_together_and_chance_keeps_the_rate() {
        let bursts = pacer("load --count 6 --rate 30 --burst 3");
        let due: Vec<_> = std::iter::from_fn(|| bursts.claim()).collect();
        assert_eq!(
            (due[2] - due[0], due[3] - due[0]),
            (Duration::ZERO, Duration::from_millis(100))
        );
        let random = pacer("load --count 10000 --rate 1000 --poisson 7");
        let due: Vec<_> = std::iter::from_fn(|| random.claim()).collect();
        let seconds = (due[9_999] - due[0]).as_secs_f64();
        assert!((9.5..10.5).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_duration_ends_the_schedule() {
        let pacer = pacer("load --duration 1s --rate 10");
        assert_eq!(std::iter::from_fn(|| pacer.claim()).count(), 10);
    }
}
