//! The verdict against a simulated queue, which knows how deep it would have become.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{WAITS, bucket};
use backlog_ebpf::pace::Pace;
use backlog_ebpf::totals::Totals;
use fastrand::Rng;

use super::{Confidence, Sizing, Verdict};
use crate::book::Book;
use crate::book::distribution::Distribution;
use crate::book::unlimited::{Counted, Unlimited};
use crate::event::{Admitted, Count, Drop, Event, Identity, Listener, ListenerId, What};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const ID: ListenerId = ListenerId(1);

/// A load: when clients come, and how an acceptor takes them.
#[derive(Clone, Debug)]
struct Load {
    arrivals: Vec<u64>,
    /// From one accept to the next while any are queued.
    service_ns: u64,
    /// Times in which nobody accepts.
    stalls: Vec<(u64, u64)>,
    end_ns: u64,
}

impl Load {
    /// The next moment at which the acceptor may take one that is there at `time_ns`.
    fn next(&self, time_ns: u64) -> u64 {
        let stall = self.stalls.iter().find(|(begin, end)| (*begin..*end).contains(&time_ns));
        stall.map_or(time_ns, |(_, end)| *end)
    }

    /// The deepest queue without a limit.
    fn unlimited(&self) -> u32 {
        let (mut free_ns, mut depth, mut peak) = (0, VecDeque::new(), 0);
        for time_ns in &self.arrivals {
            while depth.front().is_some_and(|leaves| leaves <= time_ns) {
                depth.pop_front();
            }
            let leaves = self.next((*time_ns).max(free_ns));
            free_ns = leaves + self.service_ns;
            depth.push_back(leaves.max(*time_ns + 1));
            peak = peak.max(depth.len());
        }
        u32::try_from(peak).unwrap()
    }

    /// Runs it with a limit and clients that try again, and tells the book. Refused clients.
    fn run(&self, limit: u32, book: &mut Book) -> u64 {
        let mut to_come: BinaryHeap<Reverse<(u64, u32, u32)>> = BinaryHeap::new();
        for (isn, time_ns) in (0..).zip(&self.arrivals) {
            to_come.push(Reverse((*time_ns, isn, 0)));
        }
        let (mut queue, mut free_ns, mut refused) = (VecDeque::<(u64, u64)>::new(), 0, 0);
        let mut seen = Seen::default();
        let mut counted_ns = 0;
        loop {
            let next = to_come.peek().map_or(u64::MAX, |Reverse((time_ns, ..))| *time_ns);
            while counted_ns + SECOND <= next.min(self.end_ns) {
                counted_ns += SECOND;
                seen.leave(&mut queue, counted_ns);
                let what = What::Count { listener: ID, count: Box::new(seen.count()) };
                book.apply(&Event { time_ns: counted_ns, what });
                let depth = u32::try_from(queue.len()).unwrap();
                book.apply(&Event {
                    time_ns: counted_ns,
                    what: What::Level { listener: ID, depth, limit },
                });
                book.tick(counted_ns);
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
                let drop = Drop {
                    listener: ID,
                    cause,
                    client,
                    isn,
                    depth,
                    limit,
                    syn_queue: 0,
                    cpu: 0,
                    idle_ns: seen.idle_ns,
                };
                book.apply(&Event { time_ns, what: What::Drop(drop) });
                if tries < 6 {
                    to_come.push(Reverse((time_ns + (SECOND << tries), isn, tries + 1)));
                }
                continue;
            }
            if depth == 0 && seen.accepted_ns > 0 {
                seen.idle_ns += time_ns - seen.accepted_ns;
            }
            let leaves = self.next(time_ns.max(free_ns)).max(time_ns + 1);
            free_ns = leaves + self.service_ns;
            seen.at_once += u32::from(depth == 0);
            queue.push_back((time_ns, leaves));
            seen.totals.enqueued += 1;
            seen.totals.peak = seen.totals.peak.max(depth + 1);
            if tries > 0 {
                let admitted =
                    Admitted { listener: ID, client, isn, depth: depth + 1, idle_ns: seen.idle_ns };
                book.apply(&Event { time_ns, what: What::Admitted(admitted) });
            }
        }
    }
}

/// What the programs count.
#[derive(Default)]
struct Seen {
    totals: Totals,
    idle_ns: u64,
    accepted_ns: u64,
    longest_ns: u64,
    waits: Vec<(u32, u32)>,
    at_once: u32,
    pace: Pace,
    /// What was told last.
    told: (u64, Pace),
}

impl Seen {
    /// Takes those out of the queue that have been accepted.
    fn leave(&mut self, queue: &mut VecDeque<(u64, u64)>, time_ns: u64) {
        while let Some((came, leaves)) = queue.front().filter(|(_, leaves)| *leaves <= time_ns) {
            if *came < self.accepted_ns {
                self.pace.note(leaves - self.accepted_ns);
            }
            self.longest_ns = self.longest_ns.max(leaves - came);
            self.waits.push((bucket((leaves - came).div_ceil(1000) - 1, WAITS), 1));
            self.accepted_ns = *leaves;
            self.totals.accepted += 1;
            queue.pop_front();
        }
    }

    fn count(&mut self) -> Count {
        let (idle_ns, pace) = std::mem::replace(&mut self.told, (self.idle_ns, self.pace));
        Count {
            totals: self.totals,
            idle_ns: self.idle_ns,
            idle_moved_ns: self.idle_ns - idle_ns,
            accepted_ns: self.accepted_ns,
            depths: vec![(0, std::mem::take(&mut self.at_once))],
            paced: self.pace.count - pace.count,
            paced_ns: self.pace.sum_ns - pace.sum_ns,
            recent_longest_ns: std::mem::take(&mut self.longest_ns),
            waits: std::mem::take(&mut self.waits),
            ..Count::default()
        }
    }
}

fn listener(limit: u32) -> Listener {
    Listener {
        id: ID,
        local: "0.0.0.0:8000".parse().unwrap(),
        v6_only: false,
        netns: 1,
        inode: Some(7),
        cookie: None,
        limit,
        depth: 0,
        reuseport: None,
        opened_now: true,
        sk_drops: None,
        call: None,
        cgroup: None,
        identity: Identity::default(),
    }
}

fn judged(load: &Load, limit: u32) -> (Sizing, u64) {
    let mut book = Book::new(0);
    book.apply(&Event { time_ns: 0, what: What::Listener(listener(limit)) });
    let refused = load.run(limit, &mut book);
    let sizing = book.sizing(book.get(ID).unwrap(), load.end_ns);
    (sizing, refused)
}

/// At even distances.
fn steady(begin_ns: u64, end_ns: u64, per_second: u64) -> Vec<u64> {
    (begin_ns..end_ns).step_by(usize::try_from(SECOND / per_second).unwrap()).collect()
}

fn burst(time_ns: u64, clients: u64) -> Vec<u64> {
    (0..clients).map(|index| time_ns + index * 10_000).collect()
}

/// A backlog of what is told refuses nobody, and one of 0.8 of it somebody.
fn assert_right(load: &Load, limit: u32) {
    let (sizing, refused) = judged(load, limit);
    assert!(refused > 0, "nobody was refused");
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    let backlog = sizing.backlog.unwrap();
    assert_eq!(judged(load, backlog).1, 0, "{backlog} of {}: {}", load.unlimited(), sizing.why);
    let less = backlog * 8 / 10;
    assert!(judged(load, less).1 > 0, "{less} of {}: {}", load.unlimited(), sizing.why);
}

#[test]
fn a_burst_is_sized_by_what_it_needed() {
    let load = Load {
        arrivals: burst(SECOND / 2, 200),
        service_ns: 10 * MS,
        stalls: Vec::new(),
        end_ns: 12 * SECOND,
    };
    assert_right(&load, 16);
}

#[test]
fn bursts_that_come_again_are_no_larger_together() {
    let arrivals = (0..5).flat_map(|index| burst((1 + 3 * index) * SECOND, 120)).collect();
    let load = Load { arrivals, service_ns: 4 * MS, stalls: Vec::new(), end_ns: 20 * SECOND };
    assert_right(&load, 16);
}

#[test]
fn a_stalled_acceptor_needs_a_queue_as_long_as_the_stall() {
    let stalls = (1..6).map(|index| (index * 3 * SECOND, index * 3 * SECOND + SECOND)).collect();
    let load =
        Load { arrivals: steady(0, 18 * SECOND, 150), service_ns: MS, stalls, end_ns: 18 * SECOND };
    assert_right(&load, 16);
}

#[test]
fn what_no_queue_can_take_is_told_apart() {
    for (per_second, sustainable) in
        [(50, true), (90, true), (120, false), (150, false), (200, false)]
    {
        let load = Load {
            arrivals: steady(0, 20 * SECOND, per_second),
            service_ns: 10 * MS,
            stalls: Vec::new(),
            end_ns: 20 * SECOND,
        };
        let (sizing, refused) = judged(&load, 16);
        let expected = if sustainable { Verdict::Fits } else { Verdict::AddWorkers };
        assert_eq!((sizing.verdict, refused == 0), (expected, sustainable), "{}", sizing.why);
        if !sustainable {
            let rate = sizing.accept_rate.unwrap();
            assert!((95.0..105.0).contains(&rate), "{rate}");
            let needed = sizing.needed_rate.unwrap();
            assert!((needed - per_second as f64).abs() < 0.1 * per_second as f64, "{needed}");
        }
    }
}

#[test]
fn nobody_accepts_at_all() {
    let load = Load {
        arrivals: steady(0, 10 * SECOND, 20),
        service_ns: MS,
        stalls: vec![(0, 100 * SECOND)],
        end_ns: 10 * SECOND,
    };
    let (sizing, _) = judged(&load, 16);
    assert_eq!(sizing.verdict, Verdict::AddWorkers);
    assert!(sizing.why.contains("nothing was accepted at all"), "{}", sizing.why);
}

#[test]
fn little_says_nothing_and_enough_says_how_much_was_spare() {
    let few = Load { arrivals: burst(0, 3), service_ns: MS, stalls: Vec::new(), end_ns: SECOND };
    let (sizing, _) = judged(&few, 16);
    assert_eq!(sizing.verdict, Verdict::NotEnoughData);
    assert_eq!(
        sizing.why,
        "only 3 connections: run backlog-trace -P 8000 -d 10m while there is load"
    );
    let enough =
        Load { arrivals: burst(0, 64), service_ns: MS, stalls: Vec::new(), end_ns: 6 * SECOND };
    let (sizing, _) = judged(&enough, 128);
    assert_eq!((sizing.verdict, sizing.confidence), (Verdict::Fits, Confidence::Low));
    assert_eq!((sizing.smallest_limit, sizing.headroom_percent), (Some(63), Some(50)));
    assert_eq!(judged(&enough, 64).1, 0);
}

/// Bursts at any moments on top of a steady load, and stalls, of which the acceptor gets rid
/// before the end.
fn any_load(random: &mut Rng) -> Load {
    let mut arrivals = steady(0, 20 * SECOND, random.u64(1..100));
    for _ in 0..random.u32(1..5) {
        arrivals.extend(burst(random.u64(0..15_000) * MS, random.u64(20..300)));
    }
    arrivals.sort_unstable();
    let stalls = (0..random.u32(0..3)).map(|_| {
        let begin_ns = random.u64(0..14_000) * MS;
        (begin_ns, begin_ns + random.u64(1..800) * MS)
    });
    let stalls = stalls.collect();
    Load { arrivals, service_ns: random.u64(500..4_000) * 1000, stalls, end_ns: 24 * SECOND }
}

#[test]
fn what_is_only_counted_behind_a_burst_are_its_retries() {
    for (retries, least, most) in [(400, 0.0, 6.0), (0, 300.0, 300.0)] {
        let mut unlimited = Unlimited::default();
        for time_ns in 0..600 + retries {
            unlimited.refused(time_ns, 17, 0, time_ns < 600);
        }
        let interval =
            Counted { time_ns: SECOND, elapsed_ns: SECOND, limit: 16, ..Counted::default() };
        let waits = Distribution::of_waits();
        unlimited.counted(&Counted { untold: 300, ..interval }, &waits);
        let estimated = unlimited.estimated;
        assert!((least..=most).contains(&estimated), "{estimated} of 300, {retries} retries");
    }
}

/// How far the model is off the queue that it models: docs/SIZING.md has these figures.
#[test]
fn the_needed_depth_is_near_the_true_one() {
    let mut random = Rng::with_seed(7);
    let (mut raised, mut near, mut below, mut worst) = (0, 0, 0, 0.0_f64);
    for _ in 0..LOADS {
        let (load, limit) = (any_load(&mut random), random.u32(4..64));
        let (sizing, refused) = judged(&load, limit);
        let truth = f64::from(load.unlimited());
        if refused == 0 {
            assert_eq!(sizing.verdict, Verdict::Fits);
            continue;
        }
        assert_ne!(sizing.verdict, Verdict::NotEnoughData);
        if sizing.verdict == Verdict::Raise {
            let told = sizing.needed_depth.unwrap() as f64;
            let off = (told - truth) / truth;
            raised += 1;
            near += u32::from(off.abs() <= 0.1);
            below += u32::from(f64::from(sizing.backlog.unwrap()) < truth - 1.0);
            worst = worst.max(off.abs());
        }
    }
    println!("{raised} raised, {near} within a tenth, {below} too low, worst {worst:.2}");
    assert!(raised > LOADS / 2, "{raised}");
    assert!(near * 100 >= raised * 95, "{near} of {raised} within a tenth");
    assert!(below * 100 <= raised * 3, "{below} of {raised} too low");
    assert!(worst < 0.5, "{worst}");
}

const LOADS: u32 = 500;

/// Clients by chance, at so many a second.
fn by_chance(random: &mut Rng, seconds: u64, per_second: f64) -> Vec<u64> {
    let (mut at_s, mut arrivals) = (0.0, Vec::new());
    while at_s < seconds as f64 {
        at_s -= (1.0 - random.f64()).ln() / per_second;
        let at = Duration::from_secs_f64(at_s);
        arrivals.push(u64::try_from(at.as_nanos()).unwrap());
    }
    arrivals
}

/// A busy acceptor: most clients that find nothing queued find it at work. Those that come by
/// chance find it so at other times than those at even distances with bursts among them.
#[test]
fn an_acceptor_at_work_is_no_idle_one() {
    let mut random = Rng::with_seed(7);
    let any_at_even_distances = |random: &mut Rng| {
        let bursts = (0..random.u32(1..9))
            .flat_map(|_| burst(random.u64(0..15_000) * MS, random.u64(20..60)))
            .collect();
        let mut arrivals = [steady(0, 20 * SECOND, 80), bursts].concat();
        arrivals.sort_unstable();
        arrivals
    };
    for (per_second, service_ns, limit) in
        [(Some(80.0), 9 * MS, 4), (Some(400.0), 2 * MS, 4), (None, 9 * MS, 16)]
    {
        let (mut raised, mut refused, mut refused_by_less) = (0, 0, 0);
        for _ in 0..100 {
            let arrivals = match per_second {
                Some(per_second) => by_chance(&mut random, 12, per_second),
                None => any_at_even_distances(&mut random),
            };
            let load = Load { arrivals, service_ns, stalls: Vec::new(), end_ns: 24 * SECOND };
            let Some(backlog) = judged(&load, limit).0.backlog else { continue };
            raised += 1;
            refused += u32::from(judged(&load, backlog).1 > 0);
            refused_by_less += u32::from(judged(&load, backlog * 8 / 10).1 > 0);
        }
        println!("{refused} of {raised} refused, {refused_by_less} by 0.8: {per_second:?}");
        assert!(raised > 90 && refused * 50 <= raised, "{refused} of {raised}");
        assert!(refused_by_less * 10 >= raised * 9, "{refused_by_less} of {raised}");
    }
}
