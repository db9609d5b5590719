//! Situations of real servers, with the true verdict and numbers of each.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::Totals;

use super::simulated::Load;
use super::{Confidence, ID, MS, SECOND, Sizing, Verdict, burst, drop, judged, listener, steady};
use crate::event::{Count, DropEvent, Event, Limit, Listener, What};
use crate::model::Model;

pub(super) fn model(limit: u32) -> Model {
    let mut model = Model::new(0);
    model.apply(&Event { time_ns: 0, what: What::Listener(listener(limit)) });
    model
}

pub(super) fn apply(model: &mut Model, time_ns: u64, what: What) {
    model.apply(&Event { time_ns, what });
}

pub(super) fn count(model: &mut Model, time_ns: u64, totals: &Totals) {
    let accepted_ns = time_ns - MS;
    let count =
        Count { totals: *totals, accepted_ns, filled_ns: accepted_ns - 1, ..Count::default() };
    apply(model, time_ns, What::Count { listener: ID, count: Box::new(count) });
    model.tick(time_ns);
}

pub(super) fn sizing(model: &Model, end_ns: u64) -> Sizing {
    model.sizing(model.get(ID).unwrap(), end_ns)
}

/// 250 clients at once, 50 accepts per second: the last client waits for 5 s.
#[test]
fn the_rates_of_a_burst_are_those_of_its_growth() {
    let (sizing, _) = judged(&Load::of(burst(SECOND, 260), 20 * MS, 20 * SECOND), 16);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    let (reached, needed) = (sizing.accept_rate.unwrap(), sizing.needed_rate.unwrap());
    assert!((reached - 50.0).abs() < 1.0, "{}", sizing.why);
    assert!((reached..60.0).contains(&needed), "{}", sizing.why);
    assert!((245..=250).contains(&sizing.largest_backlog.unwrap()), "{}", sizing.why);
}

/// 150 clients per second for 6 s, 50 accepts per second.
#[test]
fn the_rates_of_an_overload_are_those_of_its_growth() {
    let (sizing, _) = judged(&Load::of(steady(SECOND, 7 * SECOND, 150), 20 * MS, 16 * SECOND), 16);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    let (reached, needed) = (sizing.accept_rate.unwrap(), sizing.needed_rate.unwrap());
    assert!((reached - 50.0).abs() < 1.0, "{}", sizing.why);
    assert!((needed - 150.0).abs() < 3.0, "{}", sizing.why);
    assert!((2.9..3.15).contains(&sizing.times.unwrap()), "{}", sizing.why);
    assert!(sizing.why.contains("clients came at 1"), "{}", sizing.why);
}

/// 12 clients at once at `listen(0)`, and their retries: one burst, whose last client waits while
/// eleven others are served.
#[test]
fn retries_are_no_burst_and_raise_no_confidence() {
    let (sizing, _) = judged(&Load::of(burst(SECOND, 12), 20 * MS, 12 * SECOND), 0);
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    assert_eq!(sizing.confidence, Confidence::Low, "{}", sizing.why);
    let wait_ms = sizing.wait_ns.unwrap() / MS;
    assert!((200..=250).contains(&wait_ms), "{}", sizing.why);
}

/// The acceptor runs out of descriptors after 21 connections.
#[test]
fn who_never_accepts_again_is_stalled() {
    let stalls = vec![(SECOND + 2 * MS, 100 * SECOND)];
    let load = Load { stalls, ..Load::of(burst(SECOND, 60), MS / 10, 10 * SECOND) };
    let (sizing, _) = judged(&load, 16);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert_eq!(sizing.backlog, None);
    assert!(
        sizing.why.contains("17 are still queued, the oldest for at least 9.0s"),
        "{}",
        sizing.why
    );
    assert!(sizing.why.contains("Nobody has accepted for 9.0s"), "{}", sizing.why);
}

/// Nothing is accepted for 2.5 s, between two processes. Then accepting continues.
#[test]
fn a_stall_that_explains_the_drops_is_the_reason_though_it_is_over() {
    let stalls = vec![(3 * SECOND, 11 * SECOND / 2)];
    let load = Load { stalls, ..Load::of(steady(SECOND, 8 * SECOND, 80), MS / 10, 9 * SECOND) };
    let (sizing, _) = judged(&load, 128);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert!((190..=210).contains(&sizing.needed_depth.unwrap()), "{}", sizing.why);
    assert!(sizing.why.contains("2.5s at the longest"), "{}", sizing.why);
}

/// 70 clients and 40 accepts per second, a queue of 4,096; clients leave after 2 s.
#[test]
fn a_queue_in_which_clients_give_up_needs_workers() {
    let load = Load { workers: 4, ..Load::of(steady(SECOND, 21 * SECOND, 70), 100 * MS, SECOND) };
    let load = Load { end_ns: 24 * SECOND, ..load };
    let mut model = model(4096);
    assert_eq!(load.run(4096, &mut model), 0);
    let said = sizing(&model, load.end_ns);
    // With the default timeout of 5 s.
    assert_eq!(said.verdict, Verdict::AddWorkers, "{}", said.why);
    let left = model.get(ID).unwrap().wait.above(2_000_000);
    let mut totals = model.get(ID).unwrap().totals;
    totals.beside[Beside::AbandonedFin as usize] = left;
    totals.left_after_ns = 2 * SECOND + 3;
    count(&mut model, load.end_ns, &totals);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    let left = "had left before they were accepted, none of them before 2.0s";
    assert!(sizing.why.contains(left), "{}", sizing.why);
    assert!((76..=84).contains(&sizing.largest_backlog.unwrap()), "{}", sizing.why);
    let times = sizing.times.unwrap();
    assert!((70.0 / 40.0 - 0.05..1.85).contains(&times), "{}", sizing.why);
}

/// 60 clients per second at a worker that takes 20 ms; some of those that wait leave.
fn impatient(totals: impl FnOnce(&mut Totals)) -> Sizing {
    let load = Load::of(steady(SECOND, 9 * SECOND, 60), 20 * MS, 12 * SECOND);
    let mut model = model(512);
    assert_eq!(load.run(512, &mut model), 0);
    let mut changed = model.get(ID).unwrap().totals;
    totals(&mut changed);
    count(&mut model, load.end_ns, &changed);
    sizing(&model, load.end_ns)
}

/// Even if they leave soon: a queue that most clients leave is too slow for them.
#[test]
fn clients_that_reset_soon_need_workers_if_they_are_many() {
    let all = impatient(|totals| totals.beside[Beside::AbandonedReset as usize] = 430);
    assert_eq!(all.verdict, Verdict::AddWorkers, "{}", all.why);
    let most = "clients had reset their connection before they were accepted, most within 250ms";
    assert!(all.why.starts_with("430 of ") && all.why.contains(most), "{}", all.why);
    // As many as are accepted within 250 ms.
    assert!(all.largest_backlog.unwrap() <= 13, "{}", all.why);
    // Health checks reset their connections at once.
    let few = impatient(|totals| totals.beside[Beside::AbandonedReset as usize] = 40);
    assert_eq!(few.verdict, Verdict::Fits, "{}", few.why);
}

/// The patience of a few clients is not that of all.
#[test]
fn few_that_leave_do_not_set_the_backlog_for_all() {
    let sizing = impatient(|totals| {
        totals.beside[Beside::AbandonedFin as usize] = 7;
        (totals.left_waiting, totals.left_after_ns) = (7, 302 * MS);
    });
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    assert!((240..=250).contains(&sizing.largest_backlog.unwrap()), "{}", sizing.why);
}

/// `listen()` was called again with a larger backlog, and no client was refused since.
#[test]
fn a_limit_that_was_raised_is_judged_by_what_came_after() {
    let load = Load::of(burst(SECOND, 80), 10 * MS, 4 * SECOND);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let before = sizing(&model, load.end_ns);
    assert_eq!(before.verdict, Verdict::Raise, "{}", before.why);
    let limit = Limit { listener: ID, now: 200, was: 16, depth: 0, call: None, opens: false };
    apply(&mut model, 5 * SECOND, What::Limit(limit));
    let totals = model.get(ID).unwrap().totals;
    count(&mut model, 6 * SECOND, &totals);
    let after = sizing(&model, 6 * SECOND);
    assert_eq!(after.verdict, Verdict::Fits, "{}", after.why);
    let told = "refused by a limit of 16, before it was raised to 200";
    assert!(after.why.contains(told), "{}", after.why);
}

/// Workers are killed while clients keep coming: nothing is accepted, whatever the rate was before.
#[test]
fn a_time_without_an_accept_has_no_rate() {
    let stalls = vec![(3 * SECOND, 9 * SECOND / 2)];
    let load = Load { stalls, ..Load::of(steady(SECOND, 8 * SECOND, 100), 3 * MS, 12 * SECOND) };
    let mut model = model(16);
    model.set_client_timeout(500 * MS);
    assert!(load.run(16, &mut model) > 0);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.accept_rate, None, "{}", sizing.why);
    assert_eq!(sizing.largest_backlog, None, "{}", sizing.why);
    assert!(sizing.why.contains("Nobody accepted for 1."), "{}", sizing.why);
}

/// Cookies are counted without their times: if clients were refused, episodes show how often.
#[test]
fn cookies_raise_no_confidence_in_a_single_episode() {
    let load = Load::of(burst(SECOND, 60), MS, 4 * SECOND);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let mut totals = model.get(ID).unwrap().totals;
    totals.beside[Beside::SynQueueFullCookie as usize] = 40;
    totals.beside[Beside::SynCookieSent as usize] = 40;
    totals.beside[Beside::SynCookieValid as usize] = 40;
    totals.syn_needed = 23;
    count(&mut model, load.end_ns, &totals);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!((sizing.verdict, sizing.confidence), (Verdict::Raise, Confidence::Low));
}

/// Clients of the other family use the same queue but are not counted.
#[test]
fn one_family_of_two_sizes_no_queue() {
    for (local, verdict) in [("[::]:8000", Verdict::NotEnoughData), ("[::1]:8000", Verdict::Raise)]
    {
        let mut model = Model::new(0);
        model.set_one_family(true);
        let listener = Listener { local: local.parse().unwrap(), ..listener(16) };
        model.apply(&Event { time_ns: 0, what: What::Listener(listener) });
        let load = Load::of(burst(SECOND, 60), MS, 4 * SECOND);
        assert!(load.run(16, &mut model) > 0);
        let sizing = sizing(&model, load.end_ns);
        assert_eq!(sizing.verdict, verdict, "{}", sizing.why);
    }
}

/// There are too few accepts to estimate how long the last client would wait.
#[test]
fn a_few_accepts_promise_no_wait() {
    let load = Load::of(burst(SECOND, 300), 20 * MS, SECOND + 50 * MS);
    let (sizing, _) = judged(&load, 8);
    assert_eq!(sizing.wait_ns, None, "{}", sizing.why);
}

/// Refusals by other causes than the limit are listed, with little and with much data.
#[test]
fn refusals_for_another_cause_are_named() {
    for (accepted, verdict) in [(5, Verdict::NotEnoughData), (480, Verdict::Fits)] {
        let mut model = model(1024);
        let mut totals = Totals { enqueued: accepted, accepted, peak: 2, ..Totals::default() };
        totals.drops[Cause::LastQuarter as usize] = 41;
        count(&mut model, 10 * SECOND, &totals);
        let sizing = sizing(&model, 10 * SECOND);
        assert_eq!(sizing.verdict, verdict);
        let others = "41 packets were refused for another cause (last_quarter 41), which no backlog \
                      changes: backlog-trace explain last_quarter says what does";
        assert!(sizing.why.ends_with(others), "{}", sizing.why);
    }
}

/// A limit that refused clients is not enough, whatever the model says.
#[test]
fn a_raise_is_never_below_the_present_limit() {
    let mut model = model(32);
    for isn in 0..30 {
        let drop =
            DropEvent { isn, depth: 0, cause: Cause::SynQueueFull, syn_queue: 3, ..drop(32) };
        apply(&mut model, SECOND + u64::from(isn) * 2 * SECOND, What::Drop(drop));
    }
    let mut totals = Totals { enqueued: 480, accepted: 480, peak: 2, ..Totals::default() };
    totals.drops[Cause::SynQueueFull as usize] = 30;
    count(&mut model, 70 * SECOND, &totals);
    let sizing = sizing(&model, 70 * SECOND);
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    assert!(sizing.backlog.unwrap() > 32 && sizing.smallest_limit.unwrap() > 32);
}

/// The kernel's tables show since when the oldest connection has been queued.
#[test]
fn the_age_of_those_that_are_still_queued_is_exact_where_it_is_known() {
    let mut model = model(128);
    let count = Count {
        totals: Totals { enqueued: 40, accepted: 30, peak: 10, ..Totals::default() },
        accepted_ns: 2 * SECOND,
        filled_ns: SECOND,
        ..Count::default()
    };
    apply(&mut model, 3 * SECOND, What::Count { listener: ID, count: Box::new(count) });
    apply(&mut model, 3 * SECOND, What::DepthSample { listener: ID, depth: 10, limit: 128 });
    let oldest = |model: &Model| model.get(ID).unwrap().still_queued(9 * SECOND).unwrap();
    let queued = oldest(&model);
    assert_eq!((queued.oldest_ns, queued.at_least), (Some(7 * SECOND), true));
    let since_ns = 3 * SECOND / 2;
    apply(&mut model, 9 * SECOND, What::Queued { listener: ID, since_ns, at_least: false });
    let queued = oldest(&model);
    assert_eq!((queued.oldest_ns, queued.at_least), (Some(15 * SECOND / 2), false));
    let sizing = sizing(&model, 9 * SECOND);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert!(sizing.why.contains("10 are still queued, the oldest for 7.5s"), "{}", sizing.why);
}
