//! The verdict does not depend on how a run ends: a pause in its last second, a slow request, a
//! closed listener.

use backlog_ebpf::totals::Totals;

use super::cases::{apply, count, model, sizing};
use super::simulated::Load;
use super::{Confidence, ID, MS, SECOND, Verdict, burst, judged, listener, steady};
use crate::event::{Closed, Event, Listener, What};
use crate::model::Model;

/// Nearly all clients were refused while others were accepted. Then the run ends in a pause.
#[test]
fn a_pause_at_the_end_does_not_explain_what_came_before() {
    let stalls = vec![(29 * SECOND, 100 * SECOND)];
    let arrivals = steady(SECOND, 31 * SECOND, 100);
    let load = Load { stalls, ..Load::of(arrivals, 20 * MS, 31 * SECOND + 400 * MS) };
    let (sizing, refused) = judged(&load, 16);
    assert!(refused > 1000);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    // This is longer than clients wait, so the acceptor has stalled.
    let load = Load { end_ns: 35 * SECOND, ..load };
    let (sizing, _) = judged(&load, 16);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
}

/// A worker that takes 3 s per request, in a run of 10 s.
#[test]
fn a_slow_worker_is_not_stalled() {
    let load = Load::of(burst(SECOND, 12), 3 * SECOND, 9 * SECOND + 500 * MS);
    let (sizing, refused) = judged(&load, 4);
    assert!(refused > 0);
    assert_ne!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
}

/// A pause of 2.5 s is shorter than clients wait: a larger backlog gets them through it.
#[test]
fn a_pause_shorter_than_clients_wait_has_a_number() {
    let stalls = vec![(3 * SECOND, 11 * SECOND / 2)];
    let load = Load { stalls, ..Load::of(steady(SECOND, 8 * SECOND, 80), MS / 10, 9 * SECOND) };
    let (sizing, _) = judged(&load, 128);
    assert_eq!(sizing.verdict, Verdict::AcceptorStalled, "{}", sizing.why);
    assert!(sizing.why.contains("Until that is mended, a backlog of "), "{}", sizing.why);
}

#[test]
fn one_family_of_two_does_not_tell_whether_anybody_accepts() {
    let mut model = Model::new(0);
    model.set_one_family(true);
    let listener = Listener { local: "[::]:8000".parse().unwrap(), ..listener(16) };
    model.apply(&Event { time_ns: 0, what: What::Listener(listener) });
    let stalls = vec![(SECOND + 2 * MS, 100 * SECOND)];
    let load = Load { stalls, ..Load::of(burst(SECOND, 60), MS / 10, 10 * SECOND) };
    assert!(load.run(16, &mut model) > 0);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::NotEnoughData, "{}", sizing.why);
}

/// The process has ended, so there is nothing to restart.
#[test]
fn a_closed_listener_names_no_process() {
    let load = Load::of(burst(SECOND, 60), MS, 4 * SECOND);
    let mut model = model(16);
    assert!(load.run(16, &mut model) > 0);
    let closed = Closed { listener: ID, depth: 0, syn_queue: 0 };
    apply(&mut model, 4 * SECOND, What::Closed(closed));
    let sizing = sizing(&model, 5 * SECOND);
    assert_eq!((sizing.verdict, sizing.confidence), (Verdict::Raise, Confidence::Low));
    assert_eq!(sizing.restart, None);
    assert!(sizing.why.contains("This listener has closed"), "{}", sizing.why);
}

#[test]
fn what_is_lost_at_a_close_is_said_of_what_fits() {
    let mut model = model(128);
    let totals = Totals { enqueued: 480, accepted: 452, peak: 28, ..Totals::default() };
    count(&mut model, 4 * SECOND, &totals);
    let closed = Closed { listener: ID, depth: 28, syn_queue: 0 };
    apply(&mut model, 4 * SECOND, What::Closed(closed));
    let sizing = sizing(&model, 5 * SECOND);
    assert_eq!(sizing.verdict, Verdict::Fits, "{}", sizing.why);
    assert!(sizing.why.contains("But 28 connections were still queued"), "{}", sizing.why);
}

/// Clients that were refused first have also waited for their retry: how long clients wait is
/// unknown.
#[test]
fn what_is_left_of_patience_after_a_refusal_is_not_patience() {
    let load = Load::of(steady(SECOND, 21 * SECOND, 100), 25 * MS, 24 * SECOND);
    let mut model = model(128);
    assert!(load.run(128, &mut model) > 0);
    let mut totals = model.get(ID).unwrap().totals;
    (totals.left_waiting, totals.left_after_ns) = (totals.accepted / 3, 294 * MS);
    count(&mut model, load.end_ns, &totals);
    let sizing = sizing(&model, load.end_ns);
    assert_eq!(sizing.verdict, Verdict::AddWorkers, "{}", sizing.why);
    assert_eq!(sizing.largest_backlog, None, "{}", sizing.why);
    assert!(
        sizing.why.contains("clients left sooner than 5.0s: set --client-timeout"),
        "{sizing:?}"
    );
    assert!(!sizing.why.contains("294ms"), "{}", sizing.why);
}
