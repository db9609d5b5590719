//! Reads the clocks: the kernel's monotonic one and the wall's, and how they differ.

use backlog_core::clock::{Clock, Mark};
use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, clockid_t};

/// Compares the clocks for the first time.
pub(crate) fn start() -> Clock {
    Clock::new(measure())
}

/// Compares the clocks again. By how much the wall clock was set meanwhile, in nanoseconds, if
/// it was.
pub(crate) fn compare(clock: &mut Clock) -> Option<i128> {
    clock.add(measure())
}

/// `CLOCK_MONOTONIC`, nanoseconds: what `bpf_ktime_get_ns` gives.
pub(crate) fn monotonic_ns() -> u64 {
    u64::try_from(read(CLOCK_MONOTONIC)).unwrap_or(0)
}

/// Reads both clocks. If it was preempted between the readings, it reads again.
fn measure() -> Mark {
    /// The readings are this close, nanoseconds, but for bad luck.
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
