//! Runs of drops of one cause without a gap of a second: the packet that begins a run is reported
//! immediately, later ones in one line per interval.

use backlog_ebpf::cause::Cause;

use super::episode::GAP_NS;
use super::interval::More;

/// A run, and the part of it in the current interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DropBurst {
    /// Time of the last drop with a record; none: there was none.
    last_ns: Option<u64>,
    /// The end of the last interval, if more drops were counted in it than had a record.
    counted_ns: Option<u64>,
    /// Drops with a record in this interval.
    told: u64,
    /// How many of these began a run.
    firsts: u64,
    /// Attempts refused for the first time in this interval, except those that began a run.
    clients: u64,
}

impl DropBurst {
    /// Continues a run whose last packet was at this time.
    pub(super) fn after(last_ns: Option<u64>) -> Self {
        Self { last_ns, ..Self::default() }
    }

    /// Time of the last drop, recorded or counted.
    pub(super) fn last_ns(&self) -> Option<u64> {
        self.last_ns.max(self.counted_ns)
    }

    /// Records a drop. Returns true if it begins a run.
    pub(super) fn note(&mut self, time_ns: u64, new_client: bool) -> bool {
        // A drop older than the count is part of it: it does not mean that there was an earlier
        // one.
        let counted_ns = self.counted_ns.filter(|counted_ns| *counted_ns < time_ns);
        let last_ns = self.last_ns.max(counted_ns);
        self.last_ns = self.last_ns.max(Some(time_ns));
        let first = last_ns.is_none_or(|last| time_ns.saturating_sub(last) > GAP_NS);
        self.told += 1;
        self.firsts += u64::from(first);
        self.clients += u64::from(new_client && !first);
        first
    }

    /// Ends an interval in which `dropped` packets were counted, and returns those that did not
    /// begin a run. Packets that are only counted also extend the run; recorded packets that are
    /// not counted yet belong to the next count.
    pub(super) fn end(&mut self, cause: Cause, dropped: u64, time_ns: u64) -> Option<More> {
        let Self { told, firsts, clients, .. } = *self;
        let packets = dropped.saturating_sub(firsts);
        // The others belong to the next count, with their packets.
        let counted = clients.min(packets);
        *self = Self {
            last_ns: self.last_ns(),
            counted_ns: (dropped > told).then_some(time_ns),
            told: told.saturating_sub(dropped),
            firsts: firsts.saturating_sub(dropped),
            clients: clients - counted,
        };
        (packets > 0).then_some(More { cause, packets, clients: counted })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, DropBurst, GAP_NS};

    const CAUSE: Cause = Cause::AcceptQueueFullSyn;

    #[test]
    fn one_that_is_read_after_it_was_counted_begins_its_run() {
        let mut run = DropBurst::default();
        assert_eq!(run.end(CAUSE, 1, 500).unwrap().packets, 1);
        assert!(run.note(499, true));
        assert!(!run.note(501, true));
    }

    #[test]
    fn what_is_only_counted_keeps_a_run_alive() {
        let mut run = DropBurst::default();
        assert!(run.note(1, true));
        assert_eq!(run.end(CAUSE, 5, GAP_NS).unwrap().packets, 4);
        assert!(!run.note(2 * GAP_NS, true));
        assert_eq!(run.last_ns(), Some(2 * GAP_NS));
    }

    #[test]
    fn clients_are_in_the_interval_of_their_packets() {
        let mut run = DropBurst::default();
        for time_ns in 1..=21 {
            run.note(time_ns, true);
        }
        // The count was read before the last six records.
        let first = run.end(CAUSE, 15, 100).unwrap();
        assert_eq!((first.packets, first.clients), (14, 14));
        let second = run.end(CAUSE, 6, 200).unwrap();
        assert_eq!((second.packets, second.clients), (6, 6));
    }

    #[test]
    fn one_that_is_told_before_it_is_counted_is_told_once() {
        let mut run = DropBurst::default();
        assert!(run.note(1, true));
        assert!(run.end(CAUSE, 0, 2).is_none());
        assert!(run.end(CAUSE, 1, 3).is_none());
        assert_eq!(run.end(CAUSE, 1, 4).unwrap().packets, 1);
    }
}
