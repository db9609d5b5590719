//! Tests the verdict against a simulated queue, whose depth without a limit is known.

mod cases;
mod endings;
mod margin;
mod pauses;
mod simulated;
mod syn_queue;
mod ticks;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::NO_TROUGH;
use fastrand::Rng;

use self::simulated::{Load, nanoseconds};
use super::{Confidence, Sizing, Verdict};
use crate::event::{Call, DropEvent, Event, Identity, Listener, ListenerId, SoFar, What};
use crate::model::Model;
use crate::model::unlimited::{Suppressed, Unlimited};
use crate::settings::Settings;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const ID: ListenerId = ListenerId(1);

fn listener(limit: u32) -> Listener {
    Listener {
        id: ID,
        local: "0.0.0.0:8000".parse().unwrap(),
        v6_only: false,
        netns: 1.into(),
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
    let mut model = Model::new(0);
    model.apply(&Event { time_ns: 0, what: What::Listener(listener(limit)) });
    let refused = load.run(limit, &mut model);
    let sizing = model.sizing(model.get(ID).unwrap(), load.end_ns);
    (sizing, refused)
}

/// Arrivals at even intervals.
fn steady(begin_ns: u64, end_ns: u64, per_second: u64) -> Vec<u64> {
    (begin_ns..end_ns).step_by(usize::try_from(SECOND / per_second).unwrap()).collect()
}

fn burst(time_ns: u64, clients: u64) -> Vec<u64> {
    (0..clients).map(|index| time_ns + index * 10_000).collect()
}

/// The recommended backlog refuses no client, and 0.8 of the needed one refuses some.
fn assert_right(load: &Load, limit: u32) {
    let (sizing, refused) = judged(load, limit);
    assert!(refused > 0, "nobody was refused");
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    let backlog = sizing.backlog.unwrap();
    assert_eq!(judged(load, backlog).1, 0, "{backlog} of {}: {}", load.unlimited(), sizing.why);
    let less = u32::try_from(sizing.needed_depth.unwrap()).unwrap() * 8 / 10;
    assert!(judged(load, less).1 > 0, "{less} of {}: {}", load.unlimited(), sizing.why);
}

#[test]
fn a_burst_is_sized_by_what_it_needed() {
    let load = Load::of(burst(SECOND / 2, 200), 10 * MS, 12 * SECOND);
    assert_right(&load, 16);
}

/// 200 clients at a limit of 16, and a server that requests 2048 or 64.
#[test]
fn a_clamp_is_mended_where_it_is() {
    let load = Load::of(burst(SECOND / 2, 200), 10 * MS, 12 * SECOND);
    for (requested, set, said) in [
        (2048, Some(16), "or more: it is 16 and clamps the 2048 that the server requests"),
        (2048, None, "or more: it clamped the 2048 that the server requests"),
        (2048, Some(4096), "net.core.somaxconn was raised since it called listen()"),
        (64, Some(16), "(it is 16 and would clamp it)"),
        (16, Some(4096), "to listen(). The last of"),
    ] {
        let mut model = Model::new(0);
        let call = Some(Call { asked: Some(requested), ..Call::default() });
        let what = What::Listener(Listener { call, ..listener(16) });
        model.apply(&Event { time_ns: 0, what });
        if let Some(somaxconn) = set {
            let settings = Settings { somaxconn: Some(somaxconn), ..Settings::default() };
            model.apply(&Event { time_ns: 0, what: What::Namespace { netns: 1.into(), settings } });
        }
        load.run(16, &mut model);
        let sizing = model.sizing(model.get(ID).unwrap(), load.end_ns);
        assert!(sizing.why.contains(said), "{requested}, {set:?}: {}", sizing.why);
        assert_eq!(sizing.why.matches("Pass ").count(), usize::from(requested < 200));
    }
}

#[test]
fn bursts_that_come_again_are_no_larger_together() {
    let arrivals = (0..5).flat_map(|index| burst((1 + 3 * index) * SECOND, 120)).collect();
    let load = Load::of(arrivals, 4 * MS, 20 * SECOND);
    assert_right(&load, 16);
}

#[test]
fn a_stalled_acceptor_needs_a_queue_as_long_as_the_stall() {
    let stalls = (1..6).map(|index| (index * 3 * SECOND, index * 3 * SECOND + SECOND)).collect();
    let load = Load { stalls, ..Load::of(steady(0, 18 * SECOND, 150), MS, 18 * SECOND) };
    assert_right(&load, 16);
}

/// The very first pause is a stall, not the acceptor's pace.
#[test]
fn a_stall_before_anything_is_known_is_no_pace() {
    // The third client is the first one that waits for its predecessor, and no refused client
    // returns before the end.
    let stalls = vec![(SECOND + 3 * MS / 2, 5 * SECOND)];
    let load = Load { stalls, ..Load::of(burst(SECOND, 100), MS, 7 * SECOND) };
    assert_right(&load, 16);
}

#[test]
fn what_no_queue_can_take_is_told_apart() {
    for (per_second, sustainable) in
        [(50, true), (90, true), (120, false), (150, false), (200, false)]
    {
        let load = Load::of(steady(0, 20 * SECOND, per_second), 10 * MS, 20 * SECOND);
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
        stalls: vec![(0, 100 * SECOND)],
        ..Load::of(steady(SECOND / 2, 10 * SECOND, 20), MS, 10 * SECOND)
    };
    let (sizing, _) = judged(&load, 16);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    let queued = "17 are still queued, the oldest for 9.5s";
    assert!(sizing.why.contains(queued), "{}", sizing.why);
}

#[test]
fn little_says_nothing_and_enough_says_how_much_was_spare() {
    let few = Load::of(burst(0, 3), MS, SECOND);
    let (sizing, _) = judged(&few, 16);
    assert_eq!(sizing.verdict, Verdict::NotEnoughData);
    assert_eq!(
        sizing.why,
        "only 3 connections: run backlog-trace -P 8000 -d 10m while there is load"
    );
    let enough = Load::of(burst(0, 64), MS, 6 * SECOND);
    let (sizing, _) = judged(&enough, 128);
    assert_eq!((sizing.verdict, sizing.confidence), (Verdict::Fits, Confidence::Low));
    assert_eq!((sizing.smallest_limit, sizing.headroom_percent), (Some(63), Some(50)));
    assert_eq!(judged(&enough, 64).1, 0);
}

/// Random bursts on top of a steady load, and stalls whose backlog the acceptor works off before
/// the end.
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
    Load { stalls, ..Load::of(arrivals, random.u64(500..4_000) * 1000, 24 * SECOND) }
}

/// The record of a drop at a full queue with this limit.
fn drop(limit: u32) -> DropEvent {
    DropEvent {
        listener: ID,
        cause: Cause::AcceptQueueFullSyn,
        client: "10.0.0.9:4000".parse().unwrap(),
        isn: 0,
        depth: limit + 1,
        limit,
        syn_queue: 0,
        cpu: 0,
        trough: NO_TROUGH,
        free_ns: 0,
        accepted_ns: 0,
        so_far: None,
        fin: false,
        retry: false,
    }
}

#[test]
fn clients_of_drops_without_a_record_count_as_the_programs_counted_them() {
    let mut unlimited = Unlimited::default();
    unlimited.refused(&drop(16), 1, true, false);
    let all = Suppressed { packets: 300, clients: 40, retries: 60 };
    let end = unlimited.at_end(all, 16);
    // The same share is applied to the other 200.
    assert!((end.firsts - 121.0).abs() < 1e-6, "{}", end.firsts);
    assert!((end.estimated - 80.0).abs() < 1e-6, "{}", end.estimated);
    let so_far = SoFar {
        records_suppressed: 300,
        suppressed_clients: 40,
        suppressed_retries: 60,
        ..SoFar::default()
    };
    unlimited.saw(&DropEvent { so_far: Some(so_far), ..drop(16) }, 2);
    assert!((unlimited.firsts - end.firsts).abs() < 1e-6, "{}", unlimited.firsts);
    // The next record adds nothing.
    unlimited.saw(&DropEvent { so_far: Some(so_far), ..drop(16) }, 3);
    assert!((unlimited.firsts - end.firsts).abs() < 1e-6, "{}", unlimited.firsts);
}

#[test]
fn what_is_only_counted_behind_a_burst_are_its_retries() {
    for (retries, least, most) in [(400, 0.0, 6.0), (0, 300.0, 300.0)] {
        let mut unlimited = Unlimited::default();
        for time_ns in 0..600 + retries {
            unlimited.refused(&drop(16), time_ns, time_ns < 600, false);
        }
        // They are added with the next record of their CPU, or at the end.
        let all = Suppressed { packets: 300, ..Suppressed::default() };
        let estimated = unlimited.at_end(all, 16).estimated;
        assert!((least..=most).contains(&estimated), "{estimated} of 300, {retries} retries");
        let so_far = Some(SoFar { records_suppressed: 300, ..SoFar::default() });
        unlimited.saw(&DropEvent { so_far, ..drop(16) }, 2000);
        let at_end = unlimited.at_end(all, 16).estimated;
        assert!((at_end - unlimited.estimated).abs() < 1e-6, "{at_end}");
        assert!((unlimited.estimated - estimated).abs() < 1e-6, "{}", unlimited.estimated);
    }
}

/// The error of the model against the simulated queue: docs/SIZING.md has these figures.
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

/// Random clients, at this rate per second.
fn by_chance(random: &mut Rng, seconds: u64, per_second: f64) -> Vec<u64> {
    let (mut at_s, mut arrivals) = (0.0, Vec::new());
    while at_s < seconds as f64 {
        at_s -= (1.0 - random.f64()).ln() / per_second;
        arrivals.push(nanoseconds(at_s));
    }
    arrivals
}

/// The accuracy of the verdicts on such loads.
#[derive(Debug, Default)]
struct Tally {
    raised: u32,
    /// The needed depth is the true one, plus or minus one.
    exact: u32,
    near: u32,
    /// How many recommended backlogs refuse a client, and how many of 0.8 of the need.
    refused: u32,
    refused_by_less: u32,
}

fn tally(limit: u32, mut load: impl FnMut() -> Load) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..BUSY {
        let load = load();
        let sizing = judged(&load, limit).0;
        let Some((backlog, needed)) = sizing.backlog.zip(sizing.needed_depth) else { continue };
        let off = needed.abs_diff(u64::from(load.unlimited()));
        tally.raised += 1;
        tally.exact += u32::from(off == 0);
        tally.near += u32::from(off <= 1);
        tally.refused += u32::from(judged(&load, backlog).1 > 0);
        tally.refused_by_less +=
            u32::from(judged(&load, u32::try_from(needed).unwrap() * 8 / 10).1 > 0);
    }
    tally
}

const BUSY: u32 = 200;

/// A busy acceptor: most clients that find the queue empty find it at work. Random arrivals do so
/// at other times than even ones with bursts among them.
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
        let tally = tally(limit, || {
            let arrivals = match per_second {
                Some(per_second) => by_chance(&mut random, 12, per_second),
                None => any_at_even_distances(&mut random),
            };
            Load::of(arrivals, service_ns, 24 * SECOND)
        });
        println!("{per_second:?}: {tally:?}");
        let Tally { raised, exact, refused, refused_by_less, .. } = tally;
        assert!(raised * 10 > BUSY * 9 && refused == 0, "{tally:?}");
        assert!(exact * 20 >= raised * 17 && refused_by_less * 20 >= raised * 19, "{tally:?}");
    }
}

/// Parallel workers with a constant or a random time per connection. How long the refused clients
/// would have taken cannot be known.
#[test]
fn many_workers_are_as_one_that_is_faster() {
    let mut random = Rng::with_seed(7);
    for (workers, varies, near_percent) in
        [(4, false, 98), (1, true, 70), (4, true, 85), (16, true, 90)]
    {
        let tally = tally(4, || {
            let arrivals = by_chance(&mut random, 12, 80.0);
            Load { varies, workers, ..Load::of(arrivals, 9 * MS * workers as u64, 24 * SECOND) }
        });
        println!("{workers} workers, by chance {varies}: {tally:?}");
        let Tally { raised, near, refused, .. } = tally;
        assert!(raised * 3 > BUSY, "{tally:?}");
        assert!(near * 100 >= raised * near_percent && refused * 8 <= raised, "{tally:?}");
    }
}
