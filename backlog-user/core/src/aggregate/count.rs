//! Adds up the totals of a listener over all CPUs. Pure.

use backlog_ebpf::totals::Totals;

use crate::event::Count;
use crate::event::Moves;

/// Adds up the counts of each CPU. `ended` is the epoch that has just ended.
pub fn sum<'a>(cpus: impl Iterator<Item = &'a Totals>, ended: u32) -> Count {
    let mut count = Count::default();
    for cpu in cpus {
        // Destructured, so that a new field is not forgotten.
        let Totals {
            enqueued,
            accepted,
            accepts_without_wait,
            pending_overflow,
            enqueue_missed,
            drops,
            not_in_mib,
            records_suppressed,
            suppressed_clients,
            suppressed_retries,
            retry_table_evictions,
            beside,
            sk_drops,
            lost,
            peak_ns,
            syn_queue_peak_ns,
            longest_ns,
            longest_without_wait_ns,
            peak,
            syn_queue_peak,
            window_ns: _,
            window_used: _,
            window_clients: _,
            window_causes: _,
            peak_arrivals,
            epochs,
            seen_drops: _,
            syn_needed,
            peak_filled_ns,
            left_after_ns,
            left_waiting,
        } = cpu;
        let sum = &mut count.totals;
        // Users see one number that includes every connection.
        sum.enqueued += enqueued + enqueue_missed;
        sum.accepted += accepted + accepts_without_wait + enqueue_missed;
        sum.accepts_without_wait += accepts_without_wait;
        sum.pending_overflow += pending_overflow;
        sum.enqueue_missed += enqueue_missed;
        add(&mut sum.drops, drops);
        sum.not_in_mib += not_in_mib;
        sum.records_suppressed += records_suppressed;
        sum.suppressed_clients += suppressed_clients;
        sum.suppressed_retries += suppressed_retries;
        sum.retry_table_evictions += retry_table_evictions;
        add(&mut sum.beside, beside);
        sum.sk_drops += sk_drops;
        add(&mut sum.lost, lost);
        let before = (sum.peak, sum.peak_ns);
        (sum.peak, sum.peak_ns) = highest(before, (*peak, *peak_ns));
        if (sum.peak, sum.peak_ns) != before {
            (sum.peak_filled_ns, sum.peak_arrivals) = (*peak_filled_ns, *peak_arrivals);
        }
        if *left_after_ns != 0 {
            let before = sum.left_after_ns;
            sum.left_after_ns =
                if before == 0 { *left_after_ns } else { before.min(*left_after_ns) };
        }
        sum.left_waiting += left_waiting;
        sum.syn_needed = sum.syn_needed.max(*syn_needed);
        (sum.syn_queue_peak, sum.syn_queue_peak_ns) = highest(
            (sum.syn_queue_peak, sum.syn_queue_peak_ns),
            (*syn_queue_peak, *syn_queue_peak_ns),
        );
        sum.longest_ns = sum.longest_ns.max(*longest_ns);
        sum.longest_without_wait_ns = sum.longest_without_wait_ns.max(*longest_without_wait_ns);
        let recent = epochs[(ended & 1) as usize];
        if recent.epoch == ended {
            count.recent_peak = count.recent_peak.max(recent.depth);
            count.recent_longest_ns = count.recent_longest_ns.max(recent.longest_ns);
        }
    }
    count
}

/// The higher of two peaks; if they are equal, the earlier one.
fn highest(one: (u32, u64), other: (u32, u64)) -> (u32, u64) {
    let earlier = other.0 == one.0 && other.1 < one.1;
    if other.0 > one.0 || (other.0 > 0 && earlier) { other } else { one }
}

/// Adds counts to sums, element by element.
pub fn add<const N: usize>(sums: &mut [u64; N], values: &[u64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// The differences between bucket counts, which wrap around.
#[must_use]
pub fn moves(before: &[u32], now: &[u32]) -> Moves {
    let moved = before.iter().zip(now).map(|(before, now)| now.wrapping_sub(*before));
    (0..).zip(moved).filter(|(_, count)| *count > 0).collect()
}

/// The sum of the differences.
#[must_use]
pub fn all(moves: &Moves) -> u64 {
    moves.iter().map(|(_, count)| u64::from(*count)).sum()
}

#[cfg(test)]
mod tests {
    use super::{all, moves, sum};
    use backlog_ebpf::totals::{Epoch, Totals};

    fn epoch(epoch: u32, depth: u32, longest_ns: u64) -> Epoch {
        Epoch { epoch, depth, longest_ns }
    }

    #[test]
    fn sums_and_maxima() {
        let first = Totals {
            enqueued: 5,
            accepted: 2,
            accepts_without_wait: 1,
            enqueue_missed: 3,
            drops: [1; 9],
            peak: 17,
            peak_ns: 100,
            longest_ns: 300,
            epochs: [epoch(2, 9, 50), epoch(1, 17, 300)],
            ..Totals::default()
        };
        let second = Totals {
            enqueued: 7,
            peak: 17,
            peak_ns: 90,
            longest_ns: 200,
            epochs: [epoch(2, 11, 40), epoch(3, 1, 0)],
            ..Totals::default()
        };
        let count = sum([first, second].iter(), 2);
        assert_eq!((count.totals.enqueued, count.totals.accepted), (15, 6));
        assert_eq!((count.totals.accepts_without_wait, count.totals.enqueue_missed), (1, 3));
        assert_eq!(count.totals.drops, [1; 9]);
        assert_eq!((count.totals.peak, count.totals.peak_ns), (17, 90));
        assert_eq!(count.totals.longest_ns, 300);
        assert_eq!((count.recent_peak, count.recent_longest_ns), (11, 50));
        assert_eq!(sum([first, second].iter(), 1).recent_peak, 17);
    }

    #[test]
    fn what_did_not_move_is_left_out() {
        let moved = moves(&[3, 7, 0, u32::MAX], &[3, 9, 0, 1]);
        assert_eq!(moved, [(1, 2), (3, 2)]);
        assert_eq!(all(&moved), 4);
    }
}
