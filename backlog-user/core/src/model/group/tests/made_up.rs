//! Simulates members with an arrival process, an acceptor and its stalls, and creates the records
//! that the programs would send, split into intervals.

use std::collections::VecDeque;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{DEPTHS, NO_TROUGH, WAITS, bucket};
use backlog_ebpf::totals::Totals;

use crate::event::{Count, DropEvent, Event, Identity, Listener, ListenerId, What};
use crate::model::Model;

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1000 * MS;

/// A simulated member.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) arrivals: Vec<u64>,
    pub(super) limit: u32,
    pub(super) service_ns: u64,
    pub(super) stalls: Vec<(u64, u64)>,
    pub(super) opened_ns: u64,
}

/// An event at a member.
enum Happened {
    /// With the resulting depth.
    Enqueued(u32),
    /// After a wait.
    Accepted(u64),
    Refused {
        accepted_ns: u64,
    },
}

/// The number of a member, from 0.
pub(super) fn id(index: usize) -> ListenerId {
    ListenerId(u32::try_from(index).unwrap() + 1)
}

pub(super) fn listener(index: usize, limit: u32) -> Listener {
    Listener {
        id: id(index),
        local: "0.0.0.0:8000".parse().unwrap(),
        v6_only: false,
        netns: 1.into(),
        inode: None,
        cookie: None,
        limit,
        depth: 0,
        reuseport: Some(true),
        opened_now: true,
        sk_drops: None,
        call: None,
        cgroup: None,
        identity: Identity::default(),
    }
}

impl Member {
    /// A member that takes a millisecond for each connection.
    pub(super) fn of(arrivals: Vec<u64>, limit: u32) -> Self {
        Self { arrivals, limit, service_ns: MS, stalls: Vec::new(), opened_ns: 0 }
    }

    fn accepts_ns(&self, time_ns: u64) -> u64 {
        let mut time_ns = time_ns;
        while let Some((_, end_ns)) =
            self.stalls.iter().find(|(begin_ns, end_ns)| (*begin_ns..*end_ns).contains(&time_ns))
        {
            time_ns = *end_ns;
        }
        time_ns
    }

    fn log(&self) -> Vec<(u64, Happened)> {
        let mut log = Vec::new();
        let mut queue: VecDeque<(u64, u64)> = VecDeque::new();
        let (mut ready_ns, mut accepted_ns) = (0, 0);
        let leave = |queue: &mut VecDeque<(u64, u64)>, log: &mut Vec<_>, until_ns: u64| {
            let mut last_ns = None;
            while let Some((came, leaves)) = queue.front().filter(|(_, at)| *at <= until_ns) {
                log.push((*leaves, Happened::Accepted(leaves - came)));
                last_ns = Some(*leaves);
                queue.pop_front();
            }
            last_ns
        };
        for time_ns in &self.arrivals {
            accepted_ns = leave(&mut queue, &mut log, *time_ns).unwrap_or(accepted_ns);
            let depth = u32::try_from(queue.len()).unwrap();
            if depth > self.limit {
                log.push((*time_ns, Happened::Refused { accepted_ns }));
                continue;
            }
            let leaves = self.accepts_ns((*time_ns).max(ready_ns)).max(*time_ns + 1000);
            ready_ns = leaves + self.service_ns;
            queue.push_back((*time_ns, leaves));
            log.push((*time_ns, Happened::Enqueued(depth + 1)));
        }
        leave(&mut queue, &mut log, u64::MAX);
        log
    }
}

/// A member with its unreported counts.
struct Teller {
    member: usize,
    limit: u32,
    log: VecDeque<(u64, Happened)>,
    totals: Totals,
    accepted_ns: u64,
}

impl Teller {
    fn interval(&mut self, model: &mut Model, time_ns: u64) {
        let (mut waits, mut depths) = (Vec::new(), Vec::new());
        while self.log.front().is_some_and(|(at_ns, _)| *at_ns <= time_ns) {
            let Some((at_ns, happened)) = self.log.pop_front() else { break };
            match happened {
                Happened::Enqueued(depth) => {
                    self.totals.enqueued += 1;
                    self.totals.peak = self.totals.peak.max(depth);
                    depths.push((bucket(u64::from(depth) - 1, DEPTHS), 1));
                }
                Happened::Accepted(wait_ns) => {
                    self.totals.accepted += 1;
                    self.totals.longest_ns = self.totals.longest_ns.max(wait_ns);
                    self.accepted_ns = at_ns;
                    waits.push((bucket(wait_ns.div_ceil(1000).max(1) - 1, WAITS), 1));
                }
                Happened::Refused { accepted_ns } => {
                    self.totals.drops[Cause::AcceptQueueFullSyn as usize] += 1;
                    let drop = self.refused(accepted_ns);
                    model.apply(&Event { time_ns: at_ns, what: What::Drop(drop) });
                }
            }
        }
        let listener = id(self.member);
        let totals = self.totals;
        let accepted_ns = self.accepted_ns;
        let count = Count { totals, waits, depths, accepted_ns, ..Count::default() };
        let what = What::Count { listener, count: Box::new(count) };
        model.apply(&Event { time_ns, what });
        let depth = u32::try_from(totals.enqueued - totals.accepted).unwrap();
        let what = What::DepthSample { listener, depth, limit: self.limit };
        model.apply(&Event { time_ns, what });
    }

    fn refused(&self, accepted_ns: u64) -> DropEvent {
        DropEvent {
            listener: id(self.member),
            cause: Cause::AcceptQueueFullSyn,
            client: "10.0.0.9:4000".parse().unwrap(),
            isn: u32::try_from(self.totals.drops.iter().sum::<u64>()).unwrap(),
            depth: self.limit + 1,
            limit: self.limit,
            syn_queue: 0,
            cpu: 0,
            trough: NO_TROUGH,
            free_ns: 0,
            accepted_ns,
            so_far: None,
            fin: false,
            retry: false,
        }
    }
}

/// The state of the model after the run.
pub(super) fn run(members: &[Member], interval_ns: u64, end_ns: u64) -> Model {
    let mut model = Model::new(0);
    let mut tellers = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let what = What::Listener(listener(index, member.limit));
        model.apply(&Event { time_ns: member.opened_ns, what });
        tellers.push(Teller {
            member: index,
            limit: member.limit,
            log: member.log().into(),
            totals: Totals::default(),
            accepted_ns: 0,
        });
    }
    let mut time_ns = 0;
    while time_ns < end_ns {
        time_ns += interval_ns;
        for teller in &mut tellers {
            teller.interval(&mut model, time_ns);
        }
        model.tick(time_ns);
    }
    model
}
