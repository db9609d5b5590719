//! Overflows: how many, why, whom, and how deep the queue was. The kernel's
//! `ListenOverflows` is the judge of every number.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use backlog_tests::tracer::{Client, DropLine, Run};
use backlog_tests::{load, packets};

use super::help::{Part, assert_reconciled, counter, in_guest, trace_load, trace_packets};

/// 17 fit into a backlog of 16 and nobody accepts; five clients get no
/// answer and try again after a second.
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

/// The peak is the limit and one.
fn assert_full(part: &Part<load::Truth>) {
    let (name, summary) = (&part.name, part.summary());
    assert_eq!(summary.listener.limit, 16, "{name}: limit");
    assert_eq!(summary.peak.depth, 17, "{name}: peak");
    assert_eq!((summary.enqueued, summary.accepted), (17, 0), "{name}");
    assert_eq!(summary.beside("killed_at_close"), 17, "{name}: closed with its queue");
    assert_eq!(summary.queued, 0, "{name}: queued");
}

/// The queue was at its longest before the first drop, and within the run.
fn assert_peak_time(part: &Part<load::Truth>, run: &Run) {
    let (name, summary) = (&part.name, part.summary());
    let peak = summary.peak.time.as_ref().unwrap();
    let first_drop = &part.drops[0].time;
    // Equally long, so the order of texts is that of times.
    let order = [&run.meta().unwrap().time, peak, first_drop, &summary.time];
    assert!(order.iter().all(|time| time.len() == peak.len()), "{name}: {order:?}");
    assert!(order.is_sorted(), "{name}: start, peak, first drop, end: {order:?}");
}

/// All refused SYNs are seen, and each client's are told as one.
fn assert_retries_folded(part: &Part<load::Truth>) {
    let (name, drops) = (&part.name, &part.summary().drops);
    assert_eq!(drops.total, counter(&part.truth.kernel, "ListenOverflows"), "{name}: total");
    assert_eq!(drops.of("accept_queue_full_syn"), drops.total, "{name}: cause");
    assert!(drops.total > 5, "{name}: no client retried");
    assert_eq!(drops.clients, Some(5), "{name}: clients");
    let again = part.drops.iter().filter(|drop| drop.retry_of.is_some());
    assert_eq!(again.count() as u64, drops.total - 5, "{name}: retries");
}

/// The first drop hit one of the load's clients, shown as IPv4, at a full queue.
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
    assert!(is_own, "{name}: {client:?} is none of {own:?}");
}

#[test]
fn of_every_kind_in_every_family() {
    const HERE: &str = "--current-netns";
    in_guest(|| {
        let kinds = ["syn-overflow", "ack-overflow", "cookie-overflow", "abort-on-overflow"];
        let families = ["--family v4", "--family v6", "--family dual"];
        let mut plays: Vec<String> = kinds
            .iter()
            .flat_map(|kind| families.map(|family| format!("{kind} {HERE} {family}")))
            .collect();
        // A refused packet sent again is another drop of the same client.
        let again = ["syn-overflow", "ack-overflow"];
        plays.extend(again.map(|kind| format!("{kind} {HERE} --backlog 8 --retries 2")));
        // Not in the tool's own network namespace.
        plays.push("syn-overflow --backlog 6".to_owned());
        let variants: Vec<_> = plays.iter().map(|play| (play.as_str(), play.clone())).collect();
        let batch = trace_packets(&variants);
        for part in &batch.parts {
            assert_as_sent(part);
            if part.name.contains(HERE) {
                assert_reconciled(&batch, part);
            }
        }
        let all = batch.parts.iter().map(|part| part.drops.len()).sum::<usize>();
        assert_eq!(batch.run.drops().count(), all, "drop lines of no program");
    });
}

/// One scenario: causes, totals, clients and queue as the packets say.
fn assert_as_sent(part: &Part<packets::Truth>) {
    let Part { name, truth, drops: lines, .. } = part;
    let summary = part.summary();
    let expected: u64 = truth.expected.values().sum();
    assert_eq!(expected, counter(&truth.kernel, "ListenOverflows"), "{name}: the load itself");
    for (cause, count) in &truth.expected {
        assert_eq!(summary.drops.of(cause), *count, "{name}: {cause}");
    }
    assert_eq!(summary.drops.total, expected, "{name}: total");
    assert_eq!(summary.listener.limit, u64::from(truth.limit), "{name}: limit");
    assert_eq!(summary.enqueued, truth.enqueued, "{name}: enqueued");
    assert_eq!(summary.peak.depth, truth.enqueued, "{name}: peak");
    // All of them were in the queue when it was closed.
    let left = (summary.accepted, summary.queued, summary.beside("killed_at_close"));
    assert_eq!(left, (0, 0, truth.enqueued), "{name}: accepted, queued, killed");
    let hit: BTreeSet<_> =
        truth.clients.iter().map(|client| (client.addr.clone(), client.port)).collect();
    assert_eq!(clients_of(lines), hit, "{name}: clients");
    assert_eq!(summary.drops.clients, Some(hit.len() as u64), "{name}: clients");
    let first = lines.iter().filter(|drop| drop.retry_of.is_none());
    assert_eq!(first.count(), hit.len(), "{name}: first drops");
    assert_eq!(lines.len() as u64, expected, "{name}: drop lines");
}

/// The clients that drop lines name.
fn clients_of(lines: &[DropLine]) -> BTreeSet<(String, u16)> {
    lines
        .iter()
        .filter_map(|drop| drop.client.clone())
        .map(|Client { addr, port }| (addr, port))
        .collect()
}
