//! Overflows by ordinary clients: their number, cause, clients, and the depth of the queue. The
//! kernel's `ListenOverflows` is the reference for every number. (All other drops: causes.rs.)

use std::net::{IpAddr, Ipv4Addr};

use backlog_tests::load;
use backlog_tests::tracer::{DropLine, Run};

use super::help::{Part, assert_reconciled, counter, in_guest, trace_load};

/// A backlog of 16 holds 17 connections and nobody accepts. Five clients get no answer, and retry
/// after a second.
const FULL: &str = "-q --backlog 16 --count 22 --rate 200 --no-accept --hold-to-end --each-wait \
                    --connect nonblocking --connect-timeout 1600ms";

#[test]
fn of_a_full_queue_that_nobody_accepts_from() {
    in_guest(|| {
        let variants = [("IPv4", ""), ("IPv4 clients of a dual listener", "--family dual")];
        let batch = trace_load(&variants.map(|(name, more)| (name, format!("{FULL} {more}"))));
        for part in &batch.parts {
            assert_eq!(part.truth.left_in_queue, 17, "{}: the load itself", part.name);
            assert_eq!(part.truth.connects.timed_out, 5, "{}: the load itself", part.name);
            assert_full(part);
            assert_peak_time(part, &batch.run);
            assert_retries_folded(part);
            assert_first_drop(part);
            assert_reconciled(&batch, part);
        }
    });
}

/// Asserts that the peak is one above the limit.
fn assert_full(part: &Part<load::Truth>) {
    let (name, summary) = (&part.name, part.summary());
    assert_eq!(summary.listener.limit, 16, "{name}: limit");
    assert_eq!(summary.peak.depth, 17, "{name}: peak");
    assert_eq!((summary.enqueued, summary.accepted), (17, 0), "{name}");
    assert_eq!(summary.beside("killed_at_close"), 17, "{name}: closed with its queue");
    assert_eq!(summary.queued, 0, "{name}: queued");
}

/// Asserts that the queue was deepest before the first drop, and within the run.
fn assert_peak_time(part: &Part<load::Truth>, run: &Run) {
    let (name, summary) = (&part.name, part.summary());
    let peak = summary.peak.time.as_ref().unwrap();
    let first_drop = &part.drops[0].time;
    // The texts have equal length, so they sort like the times.
    let order = [&run.meta().unwrap().time, peak, first_drop, &summary.time];
    assert!(order.iter().all(|time| time.len() == peak.len()), "{name}: {order:?}");
    assert!(order.is_sorted(), "{name}: start, peak, first drop, end: {order:?}");
}

/// Asserts that all refused SYNs were seen, and those of each client combined.
fn assert_retries_folded(part: &Part<load::Truth>) {
    let (name, drops) = (&part.name, &part.summary().drops);
    assert_eq!(drops.total, counter(&part.truth.kernel, "ListenOverflows"), "{name}: total");
    assert_eq!(drops.of("accept_queue_full_syn"), drops.total, "{name}: cause");
    assert!(drops.total > 5, "{name}: no client retried");
    assert_eq!(drops.clients, Some(5), "{name}: clients");
    let again = part.drops.iter().filter(|drop| drop.retry_of.is_some());
    assert_eq!(again.count() as u64, drops.total - 5, "{name}: retries");
}

/// Asserts that the first drop affected one of the load's clients, shown as IPv4, at a full queue.
fn assert_first_drop(part: &Part<load::Truth>) {
    let name = &part.name;
    let DropLine { client, depth, limit, cause, .. } = &part.drops[0];
    assert_eq!(cause, "accept_queue_full_syn", "{name}");
    assert_eq!((*depth, *limit), (Some(17), Some(16)), "{name}");
    let client = client.as_ref().unwrap();
    let address: IpAddr = client.addr.parse().unwrap();
    assert_eq!(address, Ipv4Addr::LOCALHOST, "{name}");
    let own = part.truth.unanswered.as_ref().unwrap();
    let is_own = own.iter().any(|peer| peer.port == client.port);
    assert!(is_own, "{name}: {client:?} is not in {own:?}");
}
