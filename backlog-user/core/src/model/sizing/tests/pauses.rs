//! Pauses that refuse no client, floods, and runs that start or end in the middle of an overload.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::Totals;

use super::cases::{apply, count, model, sizing};
use super::simulated::Load;
use super::{Confidence, ID, MS, SECOND, Sizing, Verdict, burst, drop, judged, listener, steady};
use crate::event::{
    Acceptor, Caller, Closed, Count, Doing, DropEvent, Event, Listener, State, What,
};
use crate::model::Model;
use crate::settings::Settings;

/// 40 clients per second, which wait for a second; every 6 s nothing is accepted for 2 s.
#[test]
fn a_pause_that_refuses_nobody_is_no_lack_of_workers() {
    let stalls = (0..4).map(|round| (4 + 6 * round, 6 + 6 * round));
    let stalls = stalls.map(|(begin, end)| (begin * SECOND, end * SECOND)).collect();
    let load = Load { stalls, ..Load::of(steady(SECOND, 25 * SECOND, 40), MS, 26 * SECOND) };
    let mut model = model(4096);
    model.set_client_timeout(SECOND);
    assert_eq!(load.run(4096, &mut model), 0);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert_eq!((sizing.accept_rate, sizing.needed_rate), (None, None), "{}", sizing.why);
    assert!(sizing.why.contains("was accepted for 2.0s, while the queue grew to 8"), "{sizing:?}");
}

/// The rates are those of the growth of the queue, not of the whole run.
#[test]
fn a_worker_that_becomes_slow_is_judged_by_that_time() {
    // 16 accepts per second in the last 8 s, up to 1,000 before.
    let slow = (0..8 * 16).map(|pause| {
        let begin_ns = 10 * SECOND + pause * 625 * MS / 10;
        (begin_ns + MS, begin_ns + 62 * MS)
    });
    let arrivals = steady(SECOND, 18 * SECOND, 50);
    let load = Load { stalls: slow.collect(), ..Load::of(arrivals, MS, 18 * SECOND) };
    let mut model = model(4096);
    model.set_client_timeout(2 * SECOND);
    assert_eq!(load.run(4096, &mut model), 0);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    let (reached, needed) = (sizing.accept_rate.unwrap(), sizing.needed_rate.unwrap());
    assert!((needed - 50.0).abs() < 2.0, "{}", sizing.why);
    assert!((15.0..34.0).contains(&reached), "{}", sizing.why);
    assert!(sizing.times.unwrap() > 1.4, "{}", sizing.why);
}

/// Bursts of 60 at a queue of 16; 7 of 324 clients that were accepted in time have left.
#[test]
fn a_few_that_leave_after_a_refusal_change_no_number() {
    let arrivals = (0..6).flat_map(|round| burst((1 + 4 * round) * SECOND, 60)).collect();
    let load = Load::of(arrivals, 20 * MS, 26 * SECOND);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let before = sizing(&model, load.end_ns);
    assert_eq!(before.verdict, Verdict::Raise, "{}", before.why);
    let mut totals = model.get(ID).unwrap().totals;
    totals.beside[Beside::AbandonedFin as usize] = 7;
    (totals.left_waiting, totals.left_after_ns) = (7, 302 * MS);
    count(&mut model, load.end_ns, &totals);
    let after = sizing(&model, load.end_ns);
    assert_eq!((after.verdict, after.backlog), (Verdict::Raise, before.backlog), "{}", after.why);
    assert!(after.why.contains("7 of 324 clients had left"), "{}", after.why);
}

/// 100 clients and 50 accepts per second; the run ends during the overload.
#[test]
fn a_surge_that_still_grows_has_no_number() {
    let until = |seconds: u64, limit| {
        let arrivals = steady(SECOND, (1 + seconds) * SECOND, 100);
        judged(&Load::of(arrivals, 20 * MS, (1 + seconds) * SECOND), limit).0
    };
    for seconds in [3, 4] {
        let sizing = until(seconds, 16);
        assert_eq!(sizing.verdict, Verdict::NotEnoughData, "{}", sizing.why);
        assert!(sizing.why.contains("more came than were accepted until the end"), "{sizing:?}");
    }
    for seconds in [7, 12] {
        let sizing = until(seconds, 16);
        assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
        assert!((1.9..=2.2).contains(&sizing.times.unwrap()), "{}", sizing.why);
    }
}

/// 60 clients and 20 accepts per second, until the listener is killed.
#[test]
fn a_surge_that_grows_to_the_end_is_stated_with_its_rates() {
    let load = Load::of(steady(SECOND, 3600 * MS, 60), 50 * MS, 3600 * MS);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let closed = Closed { listener: ID, depth: 17, syn_queue: 0 };
    apply(&mut model, load.end_ns, What::Closed(closed));
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    assert!((sizing.needed_rate.unwrap() - 60.0).abs() < 6.0, "{}", sizing.why);
    assert!(sizing.why.contains("it still grew when it closed: clients came at"), "{sizing:?}");
}

/// 80 clients and 50 accepts per second for 9 s: the limit changes when clients are refused, and not
/// how fast they come.
#[test]
fn an_overload_has_the_same_rates_at_every_limit() {
    for limit in [16, 64, 128, 240] {
        let load = Load::of(steady(SECOND, 10 * SECOND, 80), 20 * MS, 20 * SECOND);
        let sizing = judged(&load, limit).0;
        assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
        let (reached, needed) = (sizing.accept_rate.unwrap(), sizing.needed_rate.unwrap());
        assert!((reached - 50.0).abs() < 3.0, "{limit}: {}", sizing.why);
        assert!((needed - 80.0).abs() < 5.0, "{limit}: {}", sizing.why);
        assert!(sizing.lasted_ns.unwrap() > 8 * SECOND, "{limit}: {}", sizing.why);
    }
}

/// The pace of an acceptor within a batch, which it takes every 400 ms, does not count as its rate.
#[test]
fn a_batch_is_no_rate() {
    let stalls =
        (0..50).map(|round| (SECOND + round * 400 * MS, SECOND + (round * 400 + 399) * MS));
    let stalls = stalls.collect();
    let load = Load { stalls, ..Load::of(steady(SECOND, 20 * SECOND, 50), MS / 100, 21 * SECOND) };
    let sizing = judged(&load, 16).0;
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    assert!((20..=24).contains(&sizing.needed_depth.unwrap()), "{}", sizing.why);
    for rate in [sizing.accept_rate, sizing.needed_rate].into_iter().flatten() {
        assert!(rate < 120.0, "{sizing:?}");
    }
    // One client, which found the queue full.
    let one = judged(&Load::of(burst(SECOND, 19), 20 * MS, 3 * SECOND), 16).0;
    assert_eq!(one.verdict, Verdict::Raise, "{}", one.why);
    assert_eq!((one.accept_rate, one.needed_rate), (None, None), "{one:?}");
}

/// 30 connections are queued when the run begins, and are accepted 5.7 s later.
#[test]
fn what_waited_before_the_run_is_not_forgotten() {
    let mut model = model(40);
    let totals = Totals {
        accepted: 30,
        accepts_without_wait: 30,
        longest_without_wait_ns: 6 * SECOND,
        ..Totals::default()
    };
    count(&mut model, 10 * SECOND, &totals);
    let sizing = sizing(&model, 10 * SECOND);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    assert!(sizing.why.contains("before the run began waited for at least 6.0s"), "{sizing:?}");
}

/// Nobody comes for 8 s, and then 60 clients per second for 40 accepts: the queue was empty for most
/// of the time, though no accept tells since when.
#[test]
fn a_queue_before_the_first_accept_is_not_busy() {
    for interval_ns in [SECOND / 10, SECOND, 10 * SECOND] {
        let said = |begin_ns: u64, end_ns: u64| {
            let arrivals = steady(begin_ns, end_ns, 60);
            let load = Load { interval_ns, ..Load::of(arrivals, 25 * MS, end_ns) };
            judged(&load, 4096).0.why.contains("The queue was empty for only")
        };
        assert!(!said(8 * SECOND, 12 * SECOND), "{interval_ns}");
        assert!(said(MS, 5 * SECOND), "{interval_ns}");
    }
}

/// The same with a listener that closes.
#[test]
fn what_closes_before_it_accepts_anything_is_not_sized() {
    let load = Load::of(burst(SECOND, 60), 100 * SECOND, SECOND + 500 * MS);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let mut totals = model.get(ID).unwrap().totals;
    totals.accepted = 0;
    let nothing = Count { totals, ..Count::default() };
    apply(&mut model, load.end_ns, What::Count { listener: ID, count: Box::new(nothing) });
    let closed = Closed { listener: ID, depth: 17, syn_queue: 0 };
    apply(&mut model, load.end_ns, What::Closed(closed));
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::NotEnoughData, "{}", sizing.why);
    assert!(sizing.why.contains("nothing was accepted until it closed"), "{}", sizing.why);
}

/// SYNs that are not retried, without cookies.
fn flood(later: u16) -> Sizing {
    let mut model = model(128);
    let settings = Settings { syncookies: Some(0), ..Settings::default() };
    apply(&mut model, 0, What::Namespace { netns: 1.into(), settings });
    let cause = Cause::SynQueueFull;
    for port in 1..=400 {
        let client = ([10, 0, 0, 9], port).into();
        let syn = DropEvent { client, cause, depth: 0, syn_queue: 128, ..drop(128) };
        apply(&mut model, SECOND + u64::from(port) * MS, What::Drop(syn));
        if port <= later {
            apply(&mut model, 2 * SECOND + u64::from(port) * MS, What::Drop(syn));
        }
    }
    // Clients keep coming until the end.
    for port in 1000..1080 {
        let client = ([10, 0, 0, 9], port).into();
        let syn = DropEvent { client, cause, depth: 0, syn_queue: 128, ..drop(128) };
        let time_ns = 3 * SECOND + u64::from(port - 1000) * 7 * SECOND / 80;
        apply(&mut model, time_ns, What::Drop(syn));
    }
    let mut totals = Totals { enqueued: 480, accepted: 480, peak: 2, ..Totals::default() };
    totals.drops[cause as usize] = 480 + u64::from(later);
    totals.syn_queue_peak = 128;
    count(&mut model, 10 * SECOND, &totals);
    sizing(&model, 10 * SECOND)
}

#[test]
fn a_flood_without_cookies_has_no_number() {
    let sizing = flood(30);
    assert_eq!(sizing.verdict, Verdict::NotEnoughData, "{}", sizing.why);
    assert!(sizing.why.contains("as in a SYN flood"), "{}", sizing.why);
    assert!(sizing.why.contains("tcp_syncookies=1"), "{}", sizing.why);
    // Here the clients retry their SYNs.
    let sizing = flood(390);
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
}

/// The run starts while clients are being refused.
#[test]
fn numbers_from_the_middle_of_an_overload_are_said_to_be_rough() {
    for (drops, rough) in [(70, true), (0, false)] {
        let mut model = Model::new(0);
        let old = Listener { opened_now: false, sk_drops: Some(drops), ..listener(16) };
        model.apply(&Event { time_ns: 0, what: What::Listener(old) });
        let load = Load::of(burst(200 * MS, 80), 10 * MS, 6 * SECOND);
        assert!(load.run(16, &mut model) > 0);
        let sizing = sizing(&model, load.end_ns);
        assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
        assert_eq!(sizing.why.contains("retries count as new clients"), rough, "{}", sizing.why);
        assert_eq!(sizing.confidence, Confidence::Low);
    }
}

/// 100 clients and 50 accepts per second, and 400 clients that were refused before the run.
#[test]
fn retries_from_before_the_run_are_no_rate() {
    let judged = |seconds: u64| {
        let mut model = Model::new(0);
        let old = Listener { opened_now: false, sk_drops: Some(70), ..listener(16) };
        model.apply(&Event { time_ns: 0, what: What::Listener(old) });
        let older = steady(100 * MS, 8 * SECOND, 50);
        let mut arrivals: Vec<u64> =
            steady(0, seconds * SECOND, 100).into_iter().chain(older).collect();
        arrivals.retain(|time_ns| *time_ns < seconds * SECOND);
        arrivals.sort_unstable();
        let load = Load::of(arrivals, 20 * MS, seconds * SECOND);
        assert!(load.run(16, &mut model) > 0);
        sizing(&model, load.end_ns)
    };
    let early = judged(7);
    assert_eq!((early.verdict, early.needed_rate), (Verdict::AddWorkers, None), "{}", early.why);
    assert!(early.why.contains("50.0/s were accepted, and more came"), "{}", early.why);
    assert!(early.why.contains("retries count as new clients for 16s"), "{}", early.why);
    let later = judged(40);
    assert_eq!(later.verdict, Verdict::AddWorkers, "{}", later.why);
    assert!((later.needed_rate.unwrap() - 100.0).abs() < 4.0, "{}", later.why);
    assert!(!later.why.contains("retries"), "{}", later.why);
}

fn inspected(pid: u32, idle: bool, gone: bool) -> Acceptor {
    Acceptor {
        listener: ID,
        process: Caller { pid, comm: "server".into() },
        looked_after_ns: MS,
        last_accept_ns: None,
        accepted_since_ns: None,
        tid: None,
        processes: 1,
        threads: 1,
        doing: Vec::new(),
        cpu_ns: None,
        cpu_over_ns: None,
        seen_accepting: true,
        gone,
        idle,
        holder: None,
        cpu_limit: None,
    }
}

/// Two of four workers were stopped: that comes before advice to add more.
#[test]
fn workers_that_do_not_run_are_named_beside_the_advice() {
    let load = Load::of(steady(SECOND, 12 * SECOND, 100), 20 * MS, 12 * SECOND);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let doing = [State::Running, State::Stopped];
    let doing = doing.map(|state| Doing { state, wchan: None, threads: 2 }).to_vec();
    let half = Acceptor { processes: 4, threads: 4, doing, ..inspected(11, false, false) };
    apply(&mut model, load.end_ns, What::Acceptor(Box::new(half)));
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    let named = "2 of 4 workers stopped by a signal or a debugger: find out why";
    assert!(sizing.why.contains(named), "{}", sizing.why);
}

/// A burst overflows while the server accepts; later it stops accepting.
#[test]
fn the_evidence_of_a_stall_is_from_that_time() {
    let stalls = vec![(9 * SECOND, 100 * SECOND)];
    let arrivals = burst(SECOND, 40).into_iter().chain([10 * SECOND]).collect();
    let load = Load { stalls, ..Load::of(arrivals, 10 * MS, 18 * SECOND) };
    let mut model = model(16);
    apply(&mut model, 0, What::Acceptor(Box::new(inspected(11, false, false))));
    assert!(load.run(16, &mut model) > 0);
    apply(&mut model, 12 * SECOND, What::Acceptor(Box::new(inspected(12, true, true))));
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert!(sizing.why.contains("all of them before nobody accepted any more"), "{}", sizing.why);
    assert!(sizing.why.contains("server[12], which accepted last, is gone"), "{}", sizing.why);
    assert!(!sizing.why.contains("server[11]"), "{}", sizing.why);
}
