//! A simulated queue: creates the records that the programs would send for a load, and computes the
//! depth of a queue without a limit.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{NO_TROUGH, WAITS, bucket};
use backlog_ebpf::pace::Pace;
use backlog_ebpf::totals::Totals;
use fastrand::Rng;

use super::{ID, SECOND};
use crate::event::{Admitted, Count, DropEvent, Event, SoFar, What};
use crate::model::Model;

/// A load: the arrivals of clients, and the behaviour of the acceptor.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) arrivals: Vec<u64>,
    /// The time that a worker spends on a connection before its next accept.
    pub(super) service_ns: u64,
    /// Whether this is only the mean of a random time.
    pub(super) varies: bool,
    pub(super) workers: usize,
    /// Periods without an accept.
    pub(super) stalls: Vec<(u64, u64)>,
    pub(super) end_ns: u64,
    /// The length of the tool's intervals.
    pub(super) interval_ns: u64,
}

/// When each worker is ready for another connection.
struct Workers<'a> {
    load: &'a Load,
    ready: BinaryHeap<Reverse<u64>>,
}

impl Workers<'_> {
    /// The time when the connection that arrives now is accepted, after all earlier ones.
    fn accept(&mut self, isn: u32, time_ns: u64) -> u64 {
        let Reverse(ready_ns) = self.ready.pop().unwrap();
        let accepted_ns = self.load.next(time_ns.max(ready_ns)).max(time_ns + 1);
        self.ready.push(Reverse(accepted_ns + self.load.service(isn)));
        accepted_ns
    }
}

impl Load {
    /// One worker that spends this time on each connection.
    pub(super) fn of(arrivals: Vec<u64>, service_ns: u64, end_ns: u64) -> Self {
        Self {
            arrivals,
            service_ns,
            varies: false,
            workers: 1,
            stalls: Vec::new(),
            end_ns,
            interval_ns: SECOND,
        }
    }

    fn workers(&self) -> Workers<'_> {
        Workers { load: self, ready: vec![Reverse(0); self.workers].into() }
    }

    /// The time that a worker spends on this connection.
    fn service(&self, isn: u32) -> u64 {
        if !self.varies {
            return self.service_ns;
        }
        let means = -(1.0 - Rng::with_seed(u64::from(isn)).f64()).ln();
        nanoseconds(means * self.service_ns as f64 / 1e9)
    }

    /// The next time when the acceptor can take a connection queued at `time_ns`.
    fn next(&self, time_ns: u64) -> u64 {
        let stall = self.stalls.iter().find(|(begin, end)| (*begin..*end).contains(&time_ns));
        stall.map_or(time_ns, |(_, end)| *end)
    }

    /// The deepest queue without a limit.
    pub(super) fn unlimited(&self) -> u32 {
        let (mut workers, mut queue, mut peak) = (self.workers(), VecDeque::new(), 0);
        for (isn, time_ns) in (0..).zip(&self.arrivals) {
            while queue.front().is_some_and(|leaves| leaves <= time_ns) {
                queue.pop_front();
            }
            queue.push_back(workers.accept(isn, *time_ns));
            peak = peak.max(queue.len());
        }
        u32::try_from(peak).unwrap()
    }

    /// Runs the load with a limit and clients that retry, and feeds the model. Returns the number
    /// of refused clients.
    pub(super) fn run(&self, limit: u32, model: &mut Model) -> u64 {
        let mut to_come: BinaryHeap<Reverse<(u64, u32, u32)>> = BinaryHeap::new();
        for (isn, time_ns) in (0..).zip(&self.arrivals) {
            to_come.push(Reverse((*time_ns, isn, 0)));
        }
        let (mut queue, mut refused) = (VecDeque::<(u64, u64)>::new(), 0);
        let mut workers = self.workers();
        let mut seen = Seen::default();
        let mut counted_ns = 0;
        loop {
            let next = to_come.peek().map_or(u64::MAX, |Reverse((time_ns, ..))| *time_ns);
            while counted_ns < next.min(self.end_ns) {
                let until_ns = (counted_ns + self.interval_ns).min(self.end_ns);
                if until_ns > next {
                    break;
                }
                counted_ns = until_ns;
                seen.leave(&mut queue, counted_ns);
                let what = What::Count { listener: ID, count: Box::new(seen.count()) };
                model.apply(&Event { time_ns: counted_ns, what });
                let depth = u32::try_from(queue.len()).unwrap();
                model.apply(&Event {
                    time_ns: counted_ns,
                    what: What::DepthSample { listener: ID, depth, limit },
                });
                model.tick(counted_ns);
            }
            if next > self.end_ns {
                return refused;
            }
            let Some(Reverse((time_ns, isn, tries))) = to_come.pop() else { return refused };
            seen.leave(&mut queue, time_ns);
            let depth = u32::try_from(queue.len()).unwrap();
            let client = "10.0.0.9:4000".parse().unwrap();
            if depth > limit {
                refused += u64::from(tries == 0);
                seen.totals.drops[Cause::AcceptQueueFullSyn as usize] += 1;
                let cause = Cause::AcceptQueueFullSyn;
                let Acceptor { trough, free_ns, accepted_ns } = seen.acceptor();
                let so_far = Some(seen.so_far());
                let drop = DropEvent {
                    listener: ID,
                    cause,
                    client,
                    isn,
                    depth,
                    limit,
                    syn_queue: 0,
                    cpu: 0,
                    trough,
                    free_ns,
                    accepted_ns,
                    so_far,
                    fin: false,
                    retry: false,
                };
                model.apply(&Event { time_ns, what: What::Drop(drop) });
                if tries < 6 {
                    to_come.push(Reverse((time_ns + (SECOND << tries), isn, tries + 1)));
                }
                continue;
            }
            seen.arrived(depth, time_ns);
            queue.push_back((time_ns, workers.accept(isn, time_ns)));
            seen.totals.enqueued += 1;
            seen.deepest(depth + 1, time_ns);
            if tries > 0 {
                let Acceptor { trough, free_ns, .. } = seen.acceptor();
                let (depth, so_far) = (depth + 1, Some(seen.so_far()));
                let followed = false;
                let admitted = Admitted {
                    listener: ID,
                    client,
                    isn,
                    depth,
                    trough,
                    free_ns,
                    so_far,
                    followed,
                };
                model.apply(&Event { time_ns, what: What::Admitted(admitted) });
            }
        }
    }
}

/// Seconds as nanoseconds.
pub(super) fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap()
}

/// The programs' counts.
#[derive(Default)]
struct Seen {
    totals: Totals,
    idle_ns: u64,
    filled_ns: u64,
    /// Arrivals before `filled_ns`.
    filled_arrived: u64,
    acceptor: Acceptor,
    longest_ns: u64,
    waits: Vec<(u32, u32)>,
    pace: Pace,
    /// The last reported counts.
    told: (u64, Pace),
}

/// The acceptor's state in a record.
#[derive(Clone, Copy)]
struct Acceptor {
    trough: u32,
    free_ns: u64,
    accepted_ns: u64,
}

impl Default for Acceptor {
    fn default() -> Self {
        Self { trough: NO_TROUGH, free_ns: 0, accepted_ns: 0 }
    }
}

impl Seen {
    /// Records an arrival that finds the queue this deep.
    fn arrived(&mut self, found: u32, time_ns: u64) {
        self.acceptor.trough = self.acceptor.trough.min(found);
        if found == 0 {
            (self.filled_ns, self.filled_arrived) = (time_ns, self.totals.enqueued);
        }
        if found == 0 && self.acceptor.accepted_ns > 0 {
            let empty_ns = time_ns - self.acceptor.accepted_ns;
            self.idle_ns += empty_ns;
            self.acceptor.free_ns += self.pace.free_ns(empty_ns);
        }
    }

    fn deepest(&mut self, depth: u32, time_ns: u64) {
        if depth > self.totals.peak {
            (self.totals.peak, self.totals.peak_ns) = (depth, time_ns);
            self.totals.peak_filled_ns = self.filled_ns;
            let arrivals = self.totals.enqueued - self.filled_arrived;
            self.totals.peak_arrivals = u32::try_from(arrivals).unwrap();
        }
    }

    fn so_far(&self) -> SoFar {
        SoFar {
            paced: u32::try_from(self.pace.count).unwrap(),
            paced_ns: self.pace.sum_ns,
            stalled_ns: self.pace.stalled_ns,
            arrived: u32::try_from(self.totals.enqueued).unwrap(),
            filled_ns: self.filled_ns,
            records_suppressed: 0,
            suppressed_clients: 0,
            suppressed_retries: 0,
        }
    }

    fn acceptor(&mut self) -> Acceptor {
        let told = self.acceptor;
        self.acceptor.trough = NO_TROUGH;
        told
    }

    /// Removes accepted connections from the queue.
    fn leave(&mut self, queue: &mut VecDeque<(u64, u64)>, time_ns: u64) {
        while let Some((came, leaves)) = queue.front().filter(|(_, leaves)| *leaves <= time_ns) {
            let before_ns = std::mem::replace(&mut self.acceptor.accepted_ns, *leaves);
            if *came < before_ns {
                self.pace.note(leaves - before_ns);
            }
            self.longest_ns = self.longest_ns.max(leaves - came);
            self.totals.longest_ns = self.totals.longest_ns.max(leaves - came);
            self.waits.push((bucket((leaves - came).div_ceil(1000) - 1, WAITS), 1));
            self.totals.accepted += 1;
            queue.pop_front();
        }
    }

    fn count(&mut self) -> Count {
        let (idle_ns, pace) = std::mem::replace(&mut self.told, (self.idle_ns, self.pace));
        Count {
            totals: self.totals,
            free_ns: self.acceptor.free_ns,
            idle_moved_ns: self.idle_ns - idle_ns,
            accepted_ns: self.acceptor.accepted_ns,
            paced: self.pace.count - pace.count,
            paced_ns: self.pace.sum_ns - pace.sum_ns,
            stalled_ns: self.pace.stalled_ns - pace.stalled_ns,
            filled_ns: self.filled_ns,
            recent_longest_ns: std::mem::take(&mut self.longest_ns),
            waits: std::mem::take(&mut self.waits),
            ..Count::default()
        }
    }
}
