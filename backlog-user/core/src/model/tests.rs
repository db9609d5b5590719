//! Tests the model with synthetic events.

mod namespaces;
mod refused;

use std::net::SocketAddr;

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::distribution::{WAITS, bucket};
use backlog_ebpf::totals::Totals;

use super::interval::More;
use super::summary::Summary;
use super::{Model, News, Refusal, reconcile};
use crate::counter::Range;
use crate::counter::{Counter, Reading};
use crate::event::{
    Call, Closed, Count, DropEvent, Event, Identity, Limit, Listener, ListenerId, Netns, What,
};

const SECOND: u64 = 1_000_000_000;
const ID: ListenerId = ListenerId(1);

fn client(port: u16) -> SocketAddr {
    SocketAddr::new("10.0.0.9".parse().unwrap(), port)
}

fn event(time_ns: u64, what: What) -> Event {
    Event { time_ns, what }
}

fn listener() -> Listener {
    Listener {
        id: ID,
        local: "0.0.0.0:8000".parse().unwrap(),
        v6_only: false,
        netns: 1.into(),
        inode: Some(7),
        cookie: None,
        limit: 16,
        depth: 0,
        reuseport: None,
        opened_now: false,
        sk_drops: None,
        call: None,
        cgroup: None,
        identity: Identity::default(),
    }
}

fn model() -> Model {
    let mut model = Model::new(0);
    model.apply(&event(0, What::Listener(listener())));
    model
}

fn drop(port: u16, isn: u32) -> What {
    What::Drop(DropEvent { listener: ID, ..DropEvent::made_up(client(port), isn) })
}

fn count(totals: &Totals, recent_peak: u32) -> What {
    counted(Count { totals: *totals, recent_peak, ..Count::default() })
}

fn counted(count: Count) -> What {
    What::Count { listener: ID, count: Box::new(count) }
}

fn level(depth: u32) -> What {
    What::DepthSample { listener: ID, depth, limit: 16 }
}

/// Each of two CPUs may admit one connection more than the limit.
#[test]
fn a_peak_is_of_its_limit_unless_that_was_changed() {
    let mut model = model();
    model.apply(&event(1, count(&Totals { peak: 18, peak_ns: 1, ..Totals::default() }, 18)));
    let peak = |model: &Model| Summary::of(model.get(ID).unwrap()).peak_of_limit();
    assert_eq!(peak(&model), "18 of 16 (113 %)");
    let limit = Limit { listener: ID, now: 8, was: 16, depth: 0, call: None, opens: false };
    model.apply(&event(2, What::Limit(limit)));
    assert_eq!(peak(&model), "18 (the limit was changed, and is 8 now)");
}

#[test]
fn retries_are_one_client() {
    let mut model = model();
    let mut refused = |time_ns, what| match model.apply(&event(time_ns, what)) {
        Some(News::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let first: Refusal = refused(10, drop(4000, 1));
    let retry = refused(20, drop(4000, 1));
    let other = refused(30, drop(4000, 2));
    assert_eq!(first.retry_of_ns, None);
    assert_eq!(retry.retry_of_ns, Some(10));
    assert_eq!(other.retry_of_ns, None);
    assert_eq!(model.get(ID).unwrap().clients(), 2);
}

#[test]
fn waits_and_depths_are_added_up_and_the_longest_is_exact() {
    let mut model = model();
    let totals =
        Totals { enqueued: 2, accepted: 2, peak: 3, longest_ns: 299_999_001, ..Totals::default() };
    let moves = |value: u64, count| vec![(bucket(value - 1, WAITS), count)];
    model.apply(&event(
        SECOND,
        counted(Count {
            totals,
            recent_longest_ns: 299_999_001,
            waits: moves(300_000, 2),
            depths: moves(3, 2),
            ..Count::default()
        }),
    ));
    let row = model.tick(SECOND).remove(0);
    assert_eq!(row.wait.map(|wait| wait.max), Some(300_000));
    model.apply(&event(
        2 * SECOND,
        counted(Count { totals, recent_longest_ns: 5_000, waits: moves(5, 1), ..Count::default() }),
    ));
    let row = model.tick(2 * SECOND).remove(0);
    assert_eq!(row.wait.map(|wait| wait.max), Some(5));
    let page = model.get(ID).unwrap();
    assert_eq!((page.wait.count(), page.wait.max()), (3, Some(300_000)));
    assert_eq!((page.depth.count(), page.depth.max()), (2, Some(3)));
}

#[test]
fn a_wait_that_began_before_the_start_is_no_wait() {
    let mut model = model();
    let totals = Totals {
        accepted: 1,
        accepts_without_wait: 1,
        longest_without_wait_ns: SECOND,
        ..Totals::default()
    };
    model.apply(&event(SECOND, count(&totals, 0)));
    let page = model.get(ID).unwrap();
    assert_eq!(page.wait.count(), 0);
    assert_eq!(page.at_least_us, Some(1_000_000));
}

#[test]
fn an_interval_has_the_difference_and_its_own_peak() {
    let mut model = model();
    let totals = Totals { enqueued: 20, accepted: 15, peak: 17, ..Totals::default() };
    model.apply(&event(SECOND, count(&totals, 17)));
    let row = model.tick(SECOND).remove(0);
    assert_eq!((row.enqueued, row.accepted, row.peak, row.depth), (20, 15, 17, 5));

    // No new events, but five are still queued: that is this interval's peak.
    model.apply(&event(2 * SECOND, count(&totals, 0)));
    let row = model.tick(2 * SECOND).remove(0);
    assert_eq!((row.enqueued, row.accepted, row.peak, row.depth), (0, 0, 5, 5));

    let totals = Totals { enqueued: 21, accepted: 21, ..totals };
    model.apply(&event(3 * SECOND, count(&totals, 0)));
    let row = model.tick(3 * SECOND).remove(0);
    // It started with five.
    assert_eq!((row.enqueued, row.accepted, row.peak, row.depth), (1, 6, 5, 0));
    let page = model.get(ID).unwrap();
    // 5 of 16 is 31 %, 17 of 16 is 106 %.
    assert_eq!(page.peak_use.0, [0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn what_was_queued_at_the_start_is_part_of_the_peak() {
    let mut model = Model::new(0);
    model.apply(&event(7, What::Listener(Listener { depth: 12, ..listener() })));
    let totals = Totals { enqueued: 1, peak: 4, peak_ns: 99, ..Totals::default() };
    model.apply(&event(100, count(&totals, 4)));
    let summary = model.summaries().remove(0);
    assert_eq!((summary.peak, summary.peak_ns), (12, Some(7)));
}

#[test]
fn the_depth_is_the_kernel_s_and_what_came_and_went_since() {
    let mut model = model();
    model.apply(&event(60, level(2)));
    let totals = Totals { enqueued: 9, accepted: 4, ..Totals::default() };
    model.apply(&event(70, count(&totals, 0)));
    assert_eq!(model.get(ID).unwrap().depth(), 7);
    model.apply(&event(80, level(6)));
    assert_eq!(model.get(ID).unwrap().depth(), 6);
}

#[test]
fn a_closed_listener_has_one_last_row() {
    let mut model = model();
    model.apply(&event(SECOND / 2, What::Closed(Closed { listener: ID, depth: 3, syn_queue: 0 })));
    assert_eq!(model.tick(SECOND).len(), 1);
    assert_eq!(model.tick(2 * SECOND).len(), 0);
}

/// The programs' counts are read after the close record, possibly in the next interval.
#[test]
fn what_is_counted_after_the_interval_of_the_close_has_a_row() {
    let mut model = model();
    let totals = Totals { enqueued: 3, accepted: 3, ..Totals::default() };
    model.apply(&event(1, count(&totals, 1)));
    model.apply(&event(2, What::Closed(Closed { listener: ID, depth: 0, syn_queue: 0 })));
    assert_eq!(model.tick(SECOND)[0].enqueued, 3);
    let late = Totals { enqueued: 5, accepted: 5, ..totals };
    model.apply(&event(SECOND + 1, count(&late, 0)));
    let rows = model.tick(2 * SECOND);
    assert_eq!((rows.len(), rows[0].enqueued, rows[0].accepted), (1, 2, 2));
    assert_eq!(model.tick(3 * SECOND).len(), 0);
}

#[test]
fn closed_listeners_do_not_fill_the_memory() {
    let mut model = Model::new(0);
    for id in 1..=3000 {
        let id = ListenerId(id);
        model.apply(&event(0, What::Listener(Listener { id, ..listener() })));
        if id.0 > 1000 {
            // Side events alone are worth a summary, too.
            let mut totals = Totals::default();
            if id.0.is_multiple_of(2) {
                totals.enqueued = 1;
            } else {
                totals.beside[Beside::Expired as usize] = 1;
            }
            let count = Count { totals, ..Count::default() };
            model.apply(&event(1, What::Count { listener: id, count: Box::new(count) }));
        }
        model.apply(&event(2, What::Closed(Closed { listener: id, depth: 0, syn_queue: 0 })));
    }
    assert_eq!(model.tick(SECOND).len(), 3000);
    model.tick(2 * SECOND);
    assert_eq!(model.summaries().len(), super::Retention::default().closed);
    assert_eq!(model.gone(), super::Gone { idle: 1000, active: 976 });
}

#[test]
fn a_run_of_equal_drops_is_told_once_and_then_by_interval() {
    let mut model = model();
    let firsts: Vec<bool> = [(100, 1), (200, 2), (200, 3), (900, 1)]
        .into_iter()
        .map(|(ms, port)| match model.apply(&event(ms * 1_000_000, drop(port, 1))) {
            Some(News::Refused(refusal)) => refusal.first,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(firsts, [true, false, false, false]);
    // Ten were counted: some had no record.
    let mut totals = Totals { records_suppressed: 6, ..Totals::default() };
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 10;
    model.apply(&event(SECOND, count(&totals, 17)));
    let row = model.tick(SECOND).remove(0);
    let more = More { cause: Cause::AcceptQueueFullSyn, packets: 9, clients: 2 };
    assert_eq!(row.more, [more]);
    // The run continues, so this drop is not a first one.
    model.apply(&event(SECOND + 800_000_000, drop(9, 1)));
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 11;
    model.apply(&event(2 * SECOND, count(&totals, 17)));
    assert_eq!(model.tick(2 * SECOND).remove(0).more[0].packets, 1);
    // After more than a second, another run begins.
    let later = model.apply(&event(3 * SECOND, drop(9, 1)));
    assert!(matches!(later, Some(News::Refused(Refusal { first: true, .. }))));
}

#[test]
fn the_kernel_s_counters_are_compared_by_namespace() {
    let mut model = model();
    let mut totals = Totals { sk_drops: 5, ..Totals::default() };
    totals.drops[Cause::AcceptQueueFullAck as usize] = 2;
    totals.drops[Cause::Other as usize] = 1;
    model.apply(&event(1, count(&totals, 0)));
    let exactly = |value| Some(Range { low: value, high: value });
    let mut moved = Reading::default();
    moved[Counter::ListenOverflows as usize] = exactly(2);
    moved[Counter::ListenDrops as usize] = exactly(4);
    model.apply(&event(2, What::Counters { netns: 1.into(), moved: Box::new(moved) }));
    let moved = Range { low: 5, high: 6 };
    model.apply(&event(2, What::SkDrops { listener: ID, moved }));
    let accounts = reconcile::accounts(&model);
    assert_eq!(accounts.len(), 1);
    let said: Vec<_> = accounts[0]
        .verdicts
        .iter()
        .map(|verdict| (verdict.counter, verdict.kernel, verdict.seen))
        .collect();
    assert_eq!(said, [("ListenOverflows", 2, 2), ("ListenDrops", 4, 3)]);
    let own = reconcile::of_listener(model.get(ID).unwrap()).unwrap();
    assert_eq!((own.kernel, own.seen), (5, 5));
}

#[test]
fn a_namespace_is_looked_into_until_its_last_listener_is_quiet() {
    let mut model = model();
    assert_eq!(model.moving_namespaces(), [Netns::from(1)]);
    model.apply(&event(SECOND / 2, What::Closed(Closed { listener: ID, depth: 0, syn_queue: 0 })));
    // Its last events are counted in this interval or the next.
    assert_eq!(model.moving_namespaces(), [Netns::from(1)]);
    model.tick(SECOND);
    assert_eq!(model.moving_namespaces(), [Netns::from(1)]);
    model.tick(2 * SECOND);
    assert!(model.moving_namespaces().is_empty());
}

fn member(id: u32) -> Listener {
    Listener { id: ListenerId(id), reuseport: Some(true), opened_now: true, ..listener() }
}

fn closed(id: u32) -> What {
    What::Closed(Closed { listener: ListenerId(id), depth: 0, syn_queue: 0 })
}

#[test]
fn a_server_started_again_goes_on_with_one_history() {
    let mut model = Model::new(0);
    let elsewhere = Listener { netns: 2.into(), ..member(4) };
    for (time_ns, what) in [
        (1, What::Listener(member(1))),
        (2, What::Listener(member(2))),
        (3, closed(1)),
        (4, What::Listener(elsewhere)),
        (5, What::Listener(member(5))),
        (6, What::Listener(member(6))),
    ] {
        model.apply(&event(time_ns, what));
    }
    let follows = |id| model.get(ListenerId(id)).unwrap().follows;
    // One succeeds the closed listener; the next one is additional.
    assert_eq!([2, 4, 5, 6].map(follows), [None, None, Some(ListenerId(1)), None]);
}

#[test]
fn another_listen_call_is_news_though_the_limit_stays() {
    let mut model = model();
    let call = Call { asked: Some(4096), somaxconn: Some(16), caller: None };
    let again = Listener { call: Some(call.clone()), ..listener() };
    let news = model.apply(&event(5, What::Listener(again)));
    let expected =
        Limit { listener: ID, now: 16, was: 16, depth: 0, call: Some(call), opens: false };
    assert_eq!(news, Some(News::Limit(expected)));
    assert_eq!(model.get(ID).unwrap().listener.is_cut(), Some(true));
}

#[test]
fn a_call_that_a_packet_was_faster_than_is_told_when_it_is_known() {
    let mut model = model();
    let call = Call { asked: Some(2048), somaxconn: Some(16), caller: None };
    let again = Listener { opened_now: true, call: Some(call.clone()), ..listener() };
    let expected =
        Limit { listener: ID, now: 16, was: 16, depth: 0, call: Some(call), opens: true };
    let told = model.apply(&event(1, What::Listener(again.clone())));
    assert_eq!(told, Some(News::Limit(expected)));
    // Reported once.
    let opened = Listener { call: None, ..again };
    assert_eq!(model.apply(&event(2, What::Listener(opened))), None);
}

#[test]
fn a_peak_has_the_limit_of_its_time() {
    for (peak_ns, peak_limit) in [(5, 16), (8, 128)] {
        let mut model = model();
        let limit = Limit { listener: ID, now: 128, was: 16, depth: 2, call: None, opens: false };
        model.apply(&event(7, What::Limit(limit)));
        let totals = Totals { peak: 12, peak_ns, ..Totals::default() };
        model.apply(&event(9, count(&totals, 12)));
        let rows = model.tick(SECOND);
        let row = (rows[0].peak, rows[0].peak_ns, rows[0].peak_limit, rows[0].limit);
        assert_eq!(row, (12, Some(peak_ns), peak_limit, 128));
        // The programs keep the time of the first peak of this depth.
        model.apply(&event(SECOND + 1, count(&totals, 12)));
        let rows = model.tick(2 * SECOND);
        assert_eq!((rows[0].peak, rows[0].peak_ns, rows[0].peak_limit), (12, None, 128));
    }
}
