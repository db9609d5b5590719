//! Overflows: how many, why, whom, and how deep the queue was. The kernel's
//! `ListenOverflows` is the judge of every number.

use std::collections::BTreeSet;
use std::net::IpAddr;

use backlog_tests::load;
use backlog_tests::packets;
use backlog_tests::tracer::{Client, DropLine, Run};

use super::help::{Traced, in_guest, trace, trace_load};

/// 17 fit into a backlog of 16 and nobody accepts; five clients get no
/// answer and try again after a second.
const FULL: &str = "--backlog 16 --count 22 --rate 200 --no-accept --hold-to-end --each-wait \
                    --connect nonblocking --connect-timeout 2500ms";

#[test]
fn the_peak_is_the_limit_and_one() {
    in_guest(|| {
        let traced = trace_load(FULL);
        let truth = &traced.truth;
        assert_eq!(truth.left_in_queue, 17, "the load itself");
        assert_eq!(truth.connects.timed_out, 5, "the load itself");
        let summary = traced.summary();
        assert_eq!(summary.listener.limit, 16);
        assert_eq!(summary.peak.depth, 17);
        assert_eq!((summary.enqueued, summary.accepted), (17, 0));
        // Closed with its queue before the tool ended, or just not yet.
        assert_eq!(summary.queued + summary.beside("killed_at_close"), 17);
    });
}

#[test]
fn refused_syns_are_all_seen_and_retries_folded() {
    in_guest(|| {
        let traced = trace_load(FULL);
        let drops = &traced.summary().drops;
        assert_eq!(drops.total, traced.kernel("ListenOverflows"));
        assert_eq!(drops.of("accept_queue_full_syn"), drops.total);
        assert!(drops.total > 5, "no client retried");
        assert_eq!(drops.clients, Some(5));
        assert_first_drop(&traced, "127.0.0.1");
        let again = traced.run.drops().filter(|drop| drop.retry_of.is_some());
        assert_eq!(again.count() as u64, drops.total - 5);
    });
}

#[test]
fn an_ipv4_client_of_a_dual_listener_is_shown_as_ipv4() {
    in_guest(|| {
        let traced = trace_load(&format!("{FULL} --family dual"));
        let drops = &traced.summary().drops;
        assert_eq!(drops.total, traced.kernel("ListenOverflows"));
        assert_first_drop(&traced, "127.0.0.1");
    });
}

#[test]
fn the_tool_reconciles_itself_with_the_kernel() {
    in_guest(|| {
        let traced = trace_load(FULL);
        let reconciled = traced.summary().reconciled.get("ListenOverflows").copied();
        let reconciled = reconciled.unwrap();
        assert_eq!(reconciled.kernel, traced.kernel("ListenOverflows"));
        assert_eq!(reconciled.seen, reconciled.kernel);
    });
}

#[test]
fn syns_that_find_the_queue_full() {
    in_guest(|| crafted("syn-overflow"));
}

#[test]
fn final_acks_that_find_the_queue_full() {
    in_guest(|| crafted("ack-overflow"));
}

#[test]
fn cookie_acks_that_find_the_queue_full() {
    in_guest(|| crafted("cookie-overflow"));
}

#[test]
fn refusals_answered_by_a_reset() {
    in_guest(|| crafted("abort-on-overflow"));
}

#[test]
fn a_refused_packet_sent_again_is_another_drop_of_the_same_client() {
    in_guest(|| {
        for scenario in ["syn-overflow", "ack-overflow"] {
            let traced = crafted_once(scenario, "--backlog 8 --retries 2");
            let first = traced.run.drops().filter(|drop| drop.retry_of.is_none());
            assert_eq!(first.count(), traced.truth.clients.len(), "{scenario}");
        }
    });
}

/// One scenario in all three families.
fn crafted(scenario: &str) {
    for family in ["v4", "v6", "dual"] {
        crafted_once(scenario, &format!("--family {family}"));
    }
}

/// One scenario: causes, totals, clients and queue as the packets say.
fn crafted_once(scenario: &str, more: &str) -> Traced<packets::Truth> {
    let arguments = format!("{scenario} --current-netns {more}");
    let traced: Traced<packets::Truth> = trace("backlog-packets", &arguments);
    let truth = &traced.truth;
    let summary = traced.summary();
    let expected: u64 = truth.expected.values().sum();
    assert_eq!(expected, traced.kernel("ListenOverflows"), "{arguments}");
    for (cause, count) in &truth.expected {
        assert_eq!(summary.drops.of(cause), *count, "{arguments}: {cause}");
    }
    assert_eq!(summary.drops.total, expected, "{arguments}: total");
    assert_eq!(summary.enqueued, truth.enqueued, "{arguments}: enqueued");
    assert_eq!(summary.peak.depth, truth.enqueued, "{arguments}: peak");
    let hit: BTreeSet<_> =
        truth.clients.iter().map(|client| (client.addr.clone(), client.port)).collect();
    assert_eq!(clients_of(&traced.run), hit, "{arguments}: clients");
    assert_eq!(summary.drops.clients, Some(hit.len() as u64), "{arguments}");
    traced
}

/// The clients that drop lines name.
fn clients_of(run: &Run) -> BTreeSet<(String, u16)> {
    run.drops()
        .filter_map(|drop| drop.client.clone())
        .map(|Client { addr, port }| (addr, port))
        .collect()
}

/// The first drop hit one of the load's clients, at a full queue.
fn assert_first_drop(traced: &Traced<load::Truth>, address: &str) {
    let DropLine { client, depth, limit, cause, .. } = traced.run.drops().next().unwrap();
    assert_eq!(cause, "accept_queue_full_syn");
    assert_eq!((*depth, *limit), (Some(17), Some(16)));
    let client = client.as_ref().unwrap();
    let address: IpAddr = address.parse().unwrap();
    assert_eq!(client.addr.parse::<IpAddr>().unwrap(), address);
    let own = traced.truth.unanswered.as_ref().unwrap();
    assert!(own.iter().any(|peer| peer.port == client.port), "{client:?} is none of {own:?}");
}
