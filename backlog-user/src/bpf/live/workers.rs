//! Accepts by thread and slot: computes the changes between two readings of the kernel's counts.

use std::collections::HashMap;

use backlog_core::aggregate::decode::comm;
use backlog_core::event::{Accepts, Caller, Count};
use backlog_ebpf::accepts::Workers;

/// The last reading of each slot.
#[derive(Debug, Default)]
pub(super) struct WorkerCounts {
    last: HashMap<u32, (u64, Box<Workers>)>,
}

impl WorkerCounts {
    /// Has the listener accepted since the last reading? If not, its table need not be read.
    pub(super) fn have_moved(&self, slot: u32, accepted: u64) -> bool {
        self.last.get(&slot).map_or(accepted > 0, |(before, _)| *before != accepted)
    }

    /// Adds the changes since the last reading. Returns true if the table was full for some
    /// threads: it must then be cleared, so that threads that still accept get an entry.
    pub(super) fn moved(&mut self, slot: u32, now: &Workers, count: &mut Count) -> bool {
        let (accepted, before) = self.last.entry(slot).or_default();
        *accepted = count.totals.accepted;
        for (worker, last) in now.each.iter().zip(&before.each) {
            let last = if worker.id == last.id { last.count } else { 0 };
            let moved = worker.count.wrapping_sub(last);
            if worker.id != 0 && moved > 0 {
                let (pid, tid) = halves(worker.id);
                let process = Caller { pid, comm: comm(&worker.comm) };
                count.accepts.push(Accepts { process, tid, count: u64::from(moved) });
            }
        }
        count.other_accepts = u64::from(now.other.wrapping_sub(before.other));
        **before = *now;
        count.other_accepts > 0
    }

    /// The kernel's table of a slot was cleared.
    pub(super) fn emptied(&mut self, slot: u32) {
        if let Some((_, last)) = self.last.get_mut(&slot) {
            **last = Workers::default();
        }
    }

    /// The slot was freed.
    pub(super) fn forget(&mut self, slot: u32) {
        self.last.remove(&slot);
    }
}

/// The processes in a table.
pub(super) fn processes(now: &Workers) -> Vec<Caller> {
    let mut found: Vec<Caller> = Vec::new();
    for worker in now.each.iter().filter(|worker| worker.id != 0 && worker.count > 0) {
        let (pid, _) = halves(worker.id);
        if found.iter().all(|one| one.pid != pid) {
            found.push(Caller { pid, comm: comm(&worker.comm) });
        }
    }
    found
}

fn halves(id: u64) -> (u32, u32) {
    let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    (half(id >> 32), half(id))
}

#[cfg(test)]
mod tests {
    use super::{WorkerCounts, processes};
    use backlog_core::event::Count;
    use backlog_ebpf::accepts::{Worker, Workers};

    fn table(each: &[(u64, u64, u32)], other: u32) -> Workers {
        let mut workers = Workers { other, ..Workers::default() };
        for (place, (pid, tid, count)) in each.iter().enumerate() {
            let comm = *b"web\0\0\0\0\0\0\0\0\0\0\0\0\0";
            workers.each[place] = Worker { id: pid << 32 | tid, count: *count, pad: 0, comm };
        }
        workers
    }

    fn moved(counts: &mut WorkerCounts, now: &Workers) -> (Vec<(u32, u64)>, u64) {
        let mut count = Count::default();
        counts.moved(1, now, &mut count);
        (count.accepts.iter().map(|one| (one.tid, one.count)).collect(), count.other_accepts)
    }

    #[test]
    fn what_has_moved_is_told_by_thread() {
        let mut counts = WorkerCounts::default();
        assert!(!counts.have_moved(1, 0) && counts.have_moved(1, 1));
        let now = table(&[(7, 7, 3), (7, 8, u32::MAX)], 0);
        assert_eq!(moved(&mut counts, &now), (vec![(7, 3), (8, u64::from(u32::MAX))], 0));
        let now = table(&[(7, 7, 3), (7, 8, 1)], 4);
        assert_eq!(moved(&mut counts, &now), (vec![(8, 2)], 4));
        assert_eq!(processes(&now).len(), 1);
    }

    #[test]
    fn an_emptied_table_and_another_thread_in_a_place_begin_at_zero() {
        let mut counts = WorkerCounts::default();
        moved(&mut counts, &table(&[(7, 7, 30)], 9));
        counts.emptied(1);
        assert_eq!(moved(&mut counts, &table(&[(7, 7, 2)], 0)), (vec![(7, 2)], 0));
        assert_eq!(moved(&mut counts, &table(&[(9, 9, 5)], 0)), (vec![(9, 5)], 0));
        counts.forget(1);
        assert_eq!(moved(&mut counts, &table(&[(9, 9, 6)], 0)), (vec![(9, 6)], 0));
    }
}
