//! The speed and position of a playback. Pure: the caller passes the elapsed time.

use std::time::Duration;

use crate::output::playing::Play;

/// The slowest and the fastest speed that keys can set.
const SPEEDS: (f64, f64) = (1.0 / 64.0, 1024.0);

/// The length of a seek, back or forward.
const STEP_NS: u64 = 10_000_000_000;

/// See the module documentation.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Begin and end of the recording, in the run's monotonic time.
    begin_ns: u64,
    end_ns: u64,
    /// The current position, in the run's monotonic time.
    at_ns: u64,
    speed: f64,
    fastest: bool,
    stopped: bool,
}

impl Pace {
    /// Starts at the beginning, at a multiple of the original speed; 0 means as fast as possible.
    pub(super) fn new((begin_ns, end_ns): (u64, u64), speed: f64) -> Self {
        let fastest = speed == 0.0;
        let speed = if fastest { 1.0 } else { speed };
        Self { begin_ns, end_ns, at_ns: begin_ns, speed, fastest, stopped: false }
    }

    pub(super) fn at_ns(&self) -> u64 {
        self.at_ns
    }

    /// None means as fast as possible.
    pub(super) fn speed(&self) -> Option<f64> {
        (!self.fastest).then_some(self.speed)
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn ended(&self) -> bool {
        self.at_ns >= self.end_ns
    }

    /// Advances the position by the elapsed time.
    pub(super) fn pass(&mut self, time: Duration) {
        if self.stopped {
            return;
        }
        self.at_ns = if self.fastest {
            self.end_ns
        } else {
            let passed = Duration::try_from_secs_f64(time.as_secs_f64() * self.speed);
            let passed_ns = passed.map_or(u128::MAX, |passed| passed.as_nanos());
            let passed_ns = u64::try_from(passed_ns).unwrap_or(u64::MAX);
            self.at_ns.saturating_add(passed_ns).min(self.end_ns)
        };
    }

    /// Holds the position at this time, since playback could not keep up.
    pub(super) fn hold(&mut self, time_ns: u64) {
        self.at_ns = self.at_ns.min(time_ns.max(self.begin_ns));
    }

    /// The time until playback reaches this position; None if it is paused or has ended.
    pub(super) fn until(&self, time_ns: u64) -> Option<Duration> {
        if self.stopped || self.ended() {
            return None;
        }
        if self.fastest {
            return Some(Duration::ZERO);
        }
        let left_ns = time_ns.saturating_sub(self.at_ns);
        // Round up: waking up early would mean to wait again.
        Duration::try_from_secs_f64((left_ns as f64 / self.speed + 1.0) / 1e9).ok()
    }

    /// Executes a key's command. Returns true if the position has changed.
    pub(super) fn ask(&mut self, play: Play) -> bool {
        match play {
            Play::Stop => self.stopped = !self.stopped,
            Play::Faster => self.quicken(2.0),
            Play::Slower => self.quicken(0.5),
            Play::Fastest => self.fastest = true,
            Play::Back => {
                self.at_ns = self.at_ns.saturating_sub(STEP_NS).max(self.begin_ns);
                return true;
            }
            Play::Further => {
                self.at_ns = self.at_ns.saturating_add(STEP_NS).min(self.end_ns);
                return true;
            }
        }
        false
    }

    /// Changes the speed. Slowing down from as fast as possible restores the speed before.
    fn quicken(&mut self, times: f64) {
        if self.fastest {
            self.fastest = times > 1.0;
            return;
        }
        let (slowest, fastest) = SPEEDS;
        // A speed from the command line may be outside of this range.
        self.speed = (self.speed * times).clamp(slowest.min(self.speed), fastest.max(self.speed));
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::output::playing::Play;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn time_passes_as_fast_as_asked() {
        let mut pace = Pace::new((5 * SECOND, 65 * SECOND), 2.0);
        pace.pass(Duration::from_secs(3));
        assert_eq!(pace.at_ns(), 11 * SECOND);
        let until = pace.until(13 * SECOND).unwrap();
        assert!(until >= Duration::from_secs(1) && until < Duration::from_millis(1001));
        pace.ask(Play::Slower);
        pace.ask(Play::Slower);
        pace.pass(Duration::from_secs(4));
        assert_eq!((pace.at_ns(), pace.speed()), (13 * SECOND, Some(0.5)));
        pace.ask(Play::Stop);
        pace.pass(Duration::from_secs(4));
        assert_eq!((pace.at_ns(), pace.until(0)), (13 * SECOND, None));
        pace.ask(Play::Stop);
        pace.ask(Play::Fastest);
        assert_eq!((pace.speed(), pace.until(64 * SECOND)), (None, Some(Duration::ZERO)));
        pace.pass(Duration::ZERO);
        assert!(pace.ended());
        pace.hold(20 * SECOND);
        assert_eq!(pace.at_ns(), 20 * SECOND);
        pace.ask(Play::Slower);
        assert_eq!(pace.speed(), Some(0.5));
    }

    #[test]
    fn steps_stay_within_the_run() {
        let mut pace = Pace::new((5 * SECOND, 30 * SECOND), 1.0);
        assert!(pace.ask(Play::Back));
        assert_eq!(pace.at_ns(), 5 * SECOND);
        assert!(pace.ask(Play::Further) && pace.ask(Play::Further));
        assert_eq!((pace.at_ns(), pace.ended()), (25 * SECOND, false));
        assert!(pace.ask(Play::Further));
        assert_eq!((pace.at_ns(), pace.ended(), pace.until(0)), (30 * SECOND, true, None));
        assert!(pace.ask(Play::Back) && !pace.ended());
        // Seeking works while paused.
        assert!(!pace.ask(Play::Stop) && pace.ask(Play::Back));
        assert_eq!(pace.at_ns(), 10 * SECOND);
    }

    #[test]
    fn speeds_are_bounded() {
        let mut pace = Pace::new((0, u64::MAX), 1.0);
        for _ in 0..50 {
            pace.ask(Play::Faster);
        }
        assert_eq!(pace.speed(), Some(1024.0));
        pace.pass(Duration::MAX);
        assert!(pace.ended());
        for _ in 0..50 {
            pace.ask(Play::Slower);
        }
        assert_eq!(pace.speed(), Some(1.0 / 64.0));
        assert!(Pace::new((0, u64::MAX), 1e-300).until(u64::MAX).is_none());
    }
}
