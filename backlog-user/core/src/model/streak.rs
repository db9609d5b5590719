//! Runs of drops of one cause, with no gap of a second between two of them: the packet that
//! begins one is told at its moment, those behind it in one line with the interval.

use backlog_ebpf::cause::Cause;

use super::episode::GAP_NS;
use super::interval::More;

/// One run, and what the running interval adds to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DropBurst {
    /// When the last was seen, all but the last interval's count; none: there has been none.
    last_ns: Option<u64>,
    /// When drops were counted at the end of the last interval, beyond those that had been told.
    counted_ns: Option<u64>,
    /// Of this interval: those with a record.
    told: u64,
    /// Of these: those that began a run.
    firsts: u64,
    /// Of this interval: attempts that were refused for the first time, without those.
    clients: u64,
}

impl DropBurst {
    /// Goes on from where the last packet was seen.
    pub(super) fn after(last_ns: Option<u64>) -> Self {
        Self { last_ns, ..Self::default() }
    }

    /// When the last was seen, told or counted.
    pub(super) fn last_ns(&self) -> Option<u64> {
        self.last_ns.max(self.counted_ns)
    }

    /// Notes a drop. True: it begins a run.
    pub(super) fn note(&mut self, time_ns: u64, new_client: bool) -> bool {
        // One that is older than the count was in it: the count is no drop before this one.
        let counted_ns = self.counted_ns.filter(|counted_ns| *counted_ns < time_ns);
        let last_ns = self.last_ns.max(counted_ns);
        self.last_ns = self.last_ns.max(Some(time_ns));
        let first = last_ns.is_none_or(|last| time_ns.saturating_sub(last) > GAP_NS);
        self.told += 1;
        self.firsts += u64::from(first);
        self.clients += u64::from(new_client && !first);
        first
    }

    /// Ends an interval in which `dropped` packets were counted: what is there beside
    /// those that began a run. Those that are only counted keep the run alive, too; those
    /// that were told and not counted yet are in the next count.
    pub(super) fn end(&mut self, cause: Cause, dropped: u64, time_ns: u64) -> Option<More> {
        let Self { told, firsts, clients, .. } = *self;
        *self = Self {
            last_ns: self.last_ns(),
            counted_ns: (dropped > told).then_some(time_ns),
            told: told.saturating_sub(dropped),
            firsts: firsts.saturating_sub(dropped),
            clients: 0,
        };
        let packets = dropped.saturating_sub(firsts);
        (packets > 0).then_some(More { cause, packets, clients })
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
    fn one_that_is_told_before_it_is_counted_is_told_once() {
        let mut run = DropBurst::default();
        assert!(run.note(1, true));
        assert!(run.end(CAUSE, 0, 2).is_none());
        assert!(run.end(CAUSE, 1, 3).is_none());
        assert_eq!(run.end(CAUSE, 1, 4).unwrap().packets, 1);
    }
}
