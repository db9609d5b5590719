//! The CPUs' totals of one listener into one. Pure.

use backlog_ebpf::totals::Totals;

use crate::event::Count;

/// Adds up what each CPU counted. `ended` is the epoch that has just ended.
pub(crate) fn sum<'a>(cpus: impl Iterator<Item = &'a Totals>, ended: u32) -> Count {
    let mut count = Count::default();
    let mut depth_ns = 0;
    for cpu in cpus {
        // Every field must be thought of.
        let Totals {
            enqueued,
            accepted,
            untimed,
            untracked,
            unseen,
            drops,
            uncounted,
            unrecorded,
            beside,
            sk_drops,
            lost,
            peak_ns,
            syn_queue_peak_ns,
            last_ns,
            left_ns,
            peak,
            last_depth,
            last_limit,
            left_depth,
            pad: _,
            syn_queue_peak,
            window_ns: _,
            window_used: _,
            window_causes: _,
            epochs,
        } = cpu;
        let sum = &mut count.totals;
        // For people every connection is one.
        sum.enqueued += enqueued + unseen;
        sum.accepted += accepted + untimed + unseen;
        sum.untimed += untimed;
        sum.untracked += untracked;
        sum.unseen += unseen;
        add(&mut sum.drops, drops);
        sum.uncounted += uncounted;
        sum.unrecorded += unrecorded;
        add(&mut sum.beside, beside);
        sum.sk_drops += sk_drops;
        add(&mut sum.lost, lost);
        (sum.peak, sum.peak_ns) = highest((sum.peak, sum.peak_ns), (*peak, *peak_ns));
        (sum.syn_queue_peak, sum.syn_queue_peak_ns) = highest(
            (sum.syn_queue_peak, sum.syn_queue_peak_ns),
            (*syn_queue_peak, *syn_queue_peak_ns),
        );
        if *last_ns > sum.last_ns {
            sum.last_ns = *last_ns;
            sum.last_limit = *last_limit;
            count.limit = Some(*last_limit);
        }
        for (time_ns, depth) in [(*last_ns, *last_depth), (*left_ns, *left_depth)] {
            if time_ns > depth_ns {
                depth_ns = time_ns;
                sum.last_depth = depth;
                count.depth = Some(depth);
            }
        }
        let recent = epochs[(ended & 1) as usize];
        if recent.epoch == ended {
            count.recent_peak = count.recent_peak.max(recent.depth);
        }
    }
    count
}

/// The higher of two peaks; of equal ones the earlier.
fn highest(one: (u32, u64), other: (u32, u64)) -> (u32, u64) {
    let earlier = other.0 == one.0 && other.1 < one.1;
    if other.0 > one.0 || (other.0 > 0 && earlier) { other } else { one }
}

/// Adds counts to sums, place by place.
pub(crate) fn add<const N: usize>(sums: &mut [u64; N], values: &[u64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::sum;
    use backlog_ebpf::totals::{EpochPeak, Totals};

    #[test]
    fn sums_maxima_and_the_latest() {
        let first = Totals {
            enqueued: 5,
            accepted: 2,
            untimed: 1,
            unseen: 3,
            drops: [1; 9],
            peak: 17,
            peak_ns: 100,
            last_ns: 300,
            last_depth: 4,
            last_limit: 16,
            epochs: [EpochPeak { epoch: 2, depth: 9 }, EpochPeak { epoch: 1, depth: 17 }],
            ..Totals::default()
        };
        let second = Totals {
            enqueued: 7,
            peak: 17,
            peak_ns: 90,
            last_ns: 200,
            last_depth: 8,
            last_limit: 128,
            epochs: [EpochPeak { epoch: 2, depth: 11 }, EpochPeak { epoch: 3, depth: 1 }],
            ..Totals::default()
        };
        let count = sum([first, second].iter(), 2);
        assert_eq!((count.totals.enqueued, count.totals.accepted), (15, 6));
        assert_eq!((count.totals.untimed, count.totals.unseen), (1, 3));
        assert_eq!(count.totals.drops, [1; 9]);
        assert_eq!((count.totals.peak, count.totals.peak_ns), (17, 90));
        assert_eq!((count.depth, count.limit), (Some(4), Some(16)));
        assert_eq!(count.recent_peak, 11);
        assert_eq!(sum([first, second].iter(), 1).recent_peak, 17);
    }

    #[test]
    fn an_untouched_listener_has_no_depth() {
        let count = sum([Totals::default()].iter(), 1);
        assert_eq!((count.depth, count.limit, count.recent_peak), (None, None, 0));
    }
}
