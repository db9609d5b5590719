//! Measures how fast an acceptor is while it has work: the pause from one accept to the next, if
//! the second connection was already waiting at the first accept. A pause much longer than those
//! before is a stall, which does not count.

use core::mem::size_of;

/// What was measured at one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The usual pause, nanoseconds: a moving mean.
    pub usual_ns: u64,
    /// Pauses measured, without stalls.
    pub count: u64,
    /// The sum of these pauses.
    pub sum_ns: u64,
    /// The sum of the stalls.
    pub stalled_ns: u64,
}

/// A pause is a stall if it is longer than this many usual ones, as a power of two,
const STALL: u32 = 4;
/// and longer than this; for the first pause only this applies.
const STALL_NS: u64 = 10_000_000;

impl Pace {
    /// No measurement.
    pub const NONE: Self = Self { usual_ns: 0, count: 0, sum_ns: 0, stalled_ns: 0 };

    /// Records a pause between two accepts.
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn note(&mut self, pause_ns: u64) {
        let usual_ns = self.usual_ns;
        let unknown = usual_ns == 0;
        if pause_ns > STALL_NS && (unknown || (pause_ns >> STALL) > usual_ns) {
            self.stalled_ns += pause_ns;
            // If pauses stay this long, they become usual. It is enough that every tenth is long,
            // as with workers that each accept at the same time and are then busy.
            self.usual_ns = if unknown { STALL_NS } else { (usual_ns << 2) + 1 };
            return;
        }
        self.usual_ns =
            if unknown { pause_ns + 1 } else { usual_ns - (usual_ns >> 3) + (pause_ns >> 3) + 1 };
        self.count += 1;
        self.sum_ns += pause_ns;
    }

    /// The acceptor's idle time in a period that starts with an accept and in which the queue is
    /// empty: it first works on the accepted connection for a usual pause.
    #[must_use]
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn free_ns(&self, empty_ns: u64) -> u64 {
        empty_ns.saturating_sub(self.usual_ns)
    }
}

const _: () = assert!(size_of::<Pace>() == 32);

#[cfg(test)]
mod tests {
    use super::Pace;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_stall_is_no_measure_of_the_pace() {
        let mut pace = Pace::NONE;
        for round in 0..10 {
            pace.note(if round == 0 { MS } else { 1000 * MS });
            for _ in 0..17 {
                pace.note(MS);
            }
        }
        let mean_ns = pace.sum_ns / pace.count;
        assert!((MS..MS + MS / 10).contains(&mean_ns), "{mean_ns}");
        assert_eq!(pace.stalled_ns, 9000 * MS);
    }

    #[test]
    fn a_stall_before_all_else_is_none_either() {
        let mut pace = Pace::NONE;
        pace.note(2000 * MS);
        for _ in 0..17 {
            pace.note(MS);
        }
        assert_eq!((pace.sum_ns / pace.count, pace.stalled_ns), (MS, 2000 * MS));
    }

    #[test]
    fn a_slow_acceptor_is_measured_from_its_second_pause_on() {
        let mut pace = Pace::NONE;
        for _ in 0..17 {
            pace.note(100 * MS);
        }
        assert_eq!((pace.sum_ns / pace.count, pace.count), (100 * MS, 16));
    }

    /// The workers accept in turns and work on a connection for the same time: the longer pauses
    /// are not stalls.
    #[test]
    fn workers_in_step_have_the_pace_of_all_of_them_together() {
        for workers in [2, 4, 8] {
            let (mut pace, work_ns) = (Pace::NONE, 150 * MS);
            let rounds = 100;
            for accept in 1..=rounds * workers {
                pace.note(if accept % workers == 0 { work_ns } else { MS / 2 });
            }
            let (mean_ns, each_ns) = (pace.sum_ns / pace.count, work_ns / workers);
            assert!(mean_ns * 10 > each_ns * 8, "{workers}: {mean_ns} of {each_ns}");
            assert!(pace.stalled_ns < rounds * work_ns / 5, "{workers}: {}", pace.stalled_ns);
        }
    }

    #[test]
    fn who_becomes_slow_for_good_is_slow_and_not_stalled() {
        let mut pace = Pace::NONE;
        for _ in 0..100 {
            pace.note(MS);
        }
        for _ in 0..100 {
            pace.note(100 * MS);
        }
        assert!(pace.stalled_ns < 20 * 100 * MS, "{}", pace.stalled_ns);
        assert!(pace.usual_ns > 90 * MS, "{}", pace.usual_ns);
    }
}
