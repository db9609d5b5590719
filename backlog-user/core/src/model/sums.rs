//! Sums over the listeners of a network namespace, of the events that the kernel counts as well.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::Totals;
use serde::{Deserialize, Serialize};

use crate::aggregate::count::add;
use crate::counter::Counter;
use crate::model::saturating::saturating;

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    drops: [u64; Cause::COUNT],
    beside: [u64; Beside::COUNT],
    not_in_mib: u64,
}

impl Sums {
    /// The sums of one listener.
    #[must_use]
    pub fn of_listener(totals: &Totals) -> Self {
        let Totals { drops, beside, not_in_mib, .. } = *totals;
        Self { drops, beside, not_in_mib }
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.drops, &other.drops);
        add(&mut self.beside, &other.beside);
        self.not_in_mib = self.not_in_mib.saturating_add(other.not_in_mib);
    }

    /// Subtracts sums that were added before.
    pub fn subtract(&mut self, other: &Self) {
        let each = |from: &mut [u64], other: &[u64]| {
            from.iter_mut().zip(other).for_each(|(from, other)| *from = from.wrapping_sub(*other));
        };
        each(&mut self.drops, &other.drops);
        each(&mut self.beside, &other.beside);
        self.not_in_mib = self.not_in_mib.wrapping_sub(other.not_in_mib);
    }

    /// Refused packets.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        saturating(self.drops)
    }

    /// The expected change of a counter; none if the tool does not count what moves it.
    #[must_use]
    pub fn moved(&self, counter: Counter) -> Option<u64> {
        let drops = Cause::ALL.into_iter().filter(|cause| cause.moves().contains(&counter));
        let drops = drops.map(|cause| self.drops[cause as usize]).reduce(u64::saturating_add);
        let drops = drops.map(|drops| match counter {
            // Some drops are not in any kernel counter.
            Counter::ListenDrops => drops.saturating_sub(self.not_in_mib),
            _ => drops,
        });
        let beside = Beside::ALL.into_iter().filter(|beside| beside.moves().contains(&counter));
        let beside = beside.map(|beside| self.beside[beside as usize]);
        drops.into_iter().chain(beside).reduce(u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::Sums;
    use crate::counter::Counter;
    use backlog_ebpf::cause::{Beside, Cause};
    use backlog_ebpf::totals::Totals;

    fn totals() -> Totals {
        let mut totals = Totals::default();
        for cause in Cause::ALL {
            totals.drops[cause as usize] = 1 << (cause as u32);
        }
        totals.not_in_mib = totals.drops[Cause::ListenerLeft as usize];
        totals.beside[Beside::JoinRefused as usize] = 1000;
        totals.beside[Beside::Ignored as usize] = 5000;
        totals
    }

    #[test]
    fn each_cause_moves_its_counters() {
        let sums = Sums::of_listener(&totals());
        assert_eq!(sums.moved(Counter::ListenOverflows), Some(0b1111));
        assert_eq!(sums.moved(Counter::ListenDrops), Some(0b1_0111_1111 + 1000));
        assert_eq!(sums.moved(Counter::ReqQFullDrop), Some(1 << 4));
        assert_eq!(sums.moved(Counter::DeferAcceptDrop), None);
    }

    #[test]
    fn what_was_added_can_be_taken_out() {
        let one = Sums::of_listener(&totals());
        let mut sums = one;
        sums.add(&one);
        assert_eq!(sums.dropped(), 2 * one.dropped());
        sums.subtract(&one);
        assert_eq!(sums, one);
    }
}
