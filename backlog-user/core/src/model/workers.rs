//! The acceptors of a listener: accepts by process and thread.

use serde::{Deserialize, Serialize};

use crate::event::{Accepts, Caller};
use crate::model::saturating::saturating;

/// The most threads that are kept per listener.
const MOST: usize = 256;

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    kept: Vec<Accepts>,
    /// Accepts of threads that are not kept.
    pub other: u64,
}

/// A process, and the accepts of its threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share<'a> {
    /// The process, with the name of the thread that accepts most.
    pub process: &'a Caller,
    /// All of its accepts.
    pub accepts: u64,
    /// Its accepting threads, the busiest one first.
    pub threads: Vec<&'a Accepts>,
}

impl Workers {
    /// Adds the counts since the last time.
    pub fn add(&mut self, moved: &[Accepts], other: u64) {
        self.other = self.other.saturating_add(other);
        for accepts in moved {
            let same = |known: &&mut Accepts| {
                (known.process.pid, known.tid) == (accepts.process.pid, accepts.tid)
            };
            if let Some(known) = self.kept.iter_mut().find(same) {
                known.count = known.count.saturating_add(accepts.count);
                continue;
            }
            if self.kept.len() >= MOST
                && let Some(least) = (0..MOST).min_by_key(|index| self.kept[*index].count)
            {
                self.other = self.other.saturating_add(self.kept.swap_remove(least).count);
            }
            self.kept.push(accepts.clone());
        }
    }

    /// Enforces the bound: a recording may have more.
    pub(super) fn bound(&mut self) {
        let surplus = self.kept.drain(MOST.min(self.kept.len())..);
        self.other = self.other.saturating_add(saturating(surplus.map(|one| one.count)));
    }

    /// The processes that accept, the busiest first.
    #[must_use]
    pub fn shares(&self) -> Vec<Share<'_>> {
        let mut shares: Vec<Share<'_>> = Vec::new();
        let mut threads: Vec<&Accepts> = self.kept.iter().collect();
        threads.sort_by_key(|one| (std::cmp::Reverse(one.count), one.tid));
        for one in threads {
            match shares.iter_mut().find(|share| share.process.pid == one.process.pid) {
                Some(share) => {
                    share.accepts = share.accepts.saturating_add(one.count);
                    share.threads.push(one);
                }
                None => shares.push(Share {
                    process: &one.process,
                    accepts: one.count,
                    threads: vec![one],
                }),
            }
        }
        shares.sort_by_key(|share| (std::cmp::Reverse(share.accepts), share.process.pid));
        shares
    }

    /// A process that was seen accepting, by its pid.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&Caller> {
        self.kept.iter().map(|one| &one.process).find(|process| process.pid == pid)
    }

    /// Accepts whose thread is known.
    #[must_use]
    pub fn attributed(&self) -> u64 {
        saturating(self.kept.iter().map(|one| one.count))
    }

    /// How many of `accepted` have no known thread.
    #[must_use]
    pub fn not_seen(&self, accepted: u64) -> u64 {
        accepted.saturating_sub(self.attributed().saturating_add(self.other))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Workers};
    use crate::event::{Accepts, Caller};

    fn accepts(pid: u32, tid: u32, count: u64) -> Accepts {
        Accepts { process: Caller { pid, comm: format!("web{tid}") }, tid, count }
    }

    #[test]
    fn threads_add_up_to_processes() {
        let mut workers = Workers::default();
        workers.add(&[accepts(7, 7, 1), accepts(8, 8, 5)], 0);
        workers.add(&[accepts(7, 9, 6), accepts(8, 8, 1)], 2);
        let shares: Vec<_> = workers
            .shares()
            .iter()
            .map(|share| (share.process.to_string(), share.accepts, share.threads.len()))
            .collect();
        assert_eq!(shares, [("web9[7]".into(), 7, 2), ("web8[8]".into(), 6, 1)]);
        assert_eq!((workers.attributed(), workers.other, workers.not_seen(20)), (13, 2, 5));
        assert_eq!(workers.process(8).map(ToString::to_string).as_deref(), Some("web8[8]"));
        assert_eq!(workers.process(9), None);
    }

    #[test]
    fn workers_that_come_and_go_are_bounded_and_nothing_is_lost() {
        let mut workers = Workers::default();
        workers.add(&[accepts(1, 1, 1000)], 0);
        for pid in 2..1000 {
            workers.add(&[accepts(pid, pid, u64::from(pid))], 0);
        }
        assert_eq!(workers.kept.len(), MOST);
        assert_eq!(workers.attributed() + workers.other, 1000 + (2..1000).sum::<u64>());
        assert_eq!(workers.shares()[0].process.pid, 1);
    }
}
