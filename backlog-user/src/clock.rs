//! Reads the kernel's monotonic clock and the wall clock, and how far they are apart.

use backlog_core::clock::{Clock, Mark};
use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, clockid_t};

/// Starts to compare the clocks.
pub(crate) fn start() -> Clock {
    Clock::new(measure())
}

/// Compares the clocks again. Returns how far the wall clock was stepped in the meantime, in
/// nanoseconds, if it was.
pub(crate) fn compare(clock: &mut Clock) -> Option<i128> {
    clock.add(measure())
}

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` returns it.
pub(crate) fn monotonic_ns() -> u64 {
    u64::try_from(read(CLOCK_MONOTONIC)).unwrap_or(0)
}

/// Reads both clocks, and retries if it was preempted between the readings.
fn measure() -> Mark {
    /// Without preemption, the readings are closer than this, in nanoseconds.
    const CLOSE: i128 = 1_000_000;
    const TRIES: u32 = 5;

    let mut best: Option<(i128, Mark)> = None;
    for _ in 0..TRIES {
        let before = read(CLOCK_MONOTONIC);
        let wall = read(CLOCK_REALTIME);
        let after = read(CLOCK_MONOTONIC);
        let middle = i128::midpoint(before, after);
        let monotonic_ns = u64::try_from(middle).unwrap_or(0);
        let mark = Mark { monotonic_ns, offset_ns: wall - middle };
        let apart = after - before;
        if best.is_none_or(|(least, _)| apart < least) {
            best = Some((apart, mark));
        }
        if apart < CLOSE {
            break;
        }
    }
    best.map_or(Mark { monotonic_ns: 0, offset_ns: 0 }, |(_, mark)| mark)
}

fn read(clock: clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the struct it is given; it cannot fail for these clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    #[test]
    fn now_is_now() {
        let clock = super::start();
        let difference = jiff::Timestamp::now().duration_since(clock.wall(super::monotonic_ns()));
        assert!(difference.abs().as_secs() < 1);
    }
}
