//! Compares crafted packets with the tool's account of them: every cause and side event, including
//! those that must be zero, and the clients. Each number is also printed for the tables of `cargo
//! xtask causes`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Write, stderr};
use std::thread::available_parallelism;

use backlog_tests::packets::Truth;
use backlog_tests::tracer::{Client, DropLine, Summary};

use super::help::{Batch, Part, counter};
use super::{blind, rows};

/// Every cause of a drop.
const CAUSES: [&str; 9] = [
    "accept_queue_full_syn",
    "accept_queue_full_ack",
    "accept_queue_full_cookie",
    "accept_queue_full_reset",
    "syn_queue_full",
    "last_quarter",
    "no_child",
    "listener_left",
    "other",
];

/// All side events.
const BESIDE: [&str; 15] = [
    "syn_cookie_sent",
    "syn_cookie_valid",
    "syn_cookie_accepted",
    "syn_cookie_failed",
    "syn_queue_full_cookie",
    "fastopen_queue_full",
    "fastopen_failed",
    "expired",
    "pruned",
    "unreachable",
    "join_refused",
    "killed_at_close",
    "migrated",
    "migrated_in",
    "ignored",
];

/// The kernel counters that the tool reconciles.
pub(crate) const RECONCILED: [&str; 8] = [
    "ListenOverflows",
    "ListenDrops",
    "TCPReqQFullDrop",
    "TCPReqQFullDoCookies",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "TCPFastOpenListenOverflow",
];

/// Asserts that the tool's data on the listeners of a completed scenario agrees with the packets. A
/// scenario that this kernel cannot run is reported, if that is true.
pub(crate) fn assert_as_sent(part: &Part<Truth>) {
    if is_absent(part) {
        return;
    }
    let Part { name, truth, summaries, drops, .. } = part;
    let truth = &blind::as_seen(name, truth);
    assert_counts(name, truth, summaries);
    assert_hits(name, truth, summaries, drops);
    for summary in summaries {
        let limit = summary.listener.limit;
        assert_eq!(limit, u64::from(truth.limit), "{name}: limit");
        assert_eq!(summary.queued, 0, "{name}: still queued");
    }
    if truth.listeners.is_empty() {
        // A queue that is never accepted from is deepest at the end. (The scenario `listener-left`
        // has one in each round, and some accept in between.)
        let peak = summaries.iter().map(|one| one.peak.depth).max().unwrap_or(0);
        let one_round = truth.scenario != "listener-left" && truth.accepted == 0;
        assert!(!one_round || peak == truth.enqueued, "{name}: peak {peak}");
    } else {
        assert_shares(name, truth, summaries);
    }
    tell(truth, summaries);
}

/// Checks causes, side events, and connections.
pub(crate) fn assert_counts(name: &str, truth: &Truth, summaries: &[Summary]) {
    let sum = |of: &dyn Fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    let should = |all: &BTreeMap<String, u64>, one: &str| all.get(one).copied().unwrap_or(0);
    for cause in CAUSES {
        let seen = sum(&|one| one.drops.of(cause));
        assert_eq!(seen, should(&truth.expected, cause), "{name}: {cause}");
    }
    let expected: u64 = truth.expected.values().sum();
    assert_eq!(sum(&|one| one.drops.total), expected, "{name}: total");
    assert_eq!(sum(&|one| one.drops.of("uncounted")), truth.uncounted, "{name}: uncounted");
    for beside in BESIDE {
        let seen = sum(&|one| one.beside(beside));
        let expected = should(&truth.beside, beside);
        if beside == "pruned" && truth.scenario.starts_with("syn-queue") {
            // Timers of a second prune a full SYN queue, on a slow machine also between the last
            // reading of the scenario and the close of its listener.
            let all = expected..=u64::from(truth.limit) + 1;
            assert!(all.contains(&seen), "{name}: {beside}: {seen}, at least {expected}");
            continue;
        }
        assert_eq!(seen, expected, "{name}: {beside}");
    }
    assert_eq!(sum(&|one| one.enqueued), truth.enqueued, "{name}: enqueued");
    assert_eq!(sum(&|one| one.accepted), truth.accepted, "{name}: accepted");
}

/// Checks that every drop has its line, that every refused client is named, and that retries are
/// reported as such.
fn assert_hits(name: &str, truth: &Truth, summaries: &[Summary], lines: &[DropLine]) {
    let expected: u64 = truth.expected.values().sum();
    assert_eq!(lines.len() as u64, expected, "{name}: drop lines");
    for line in lines {
        assert!(truth.expected.contains_key(&line.cause), "{name}: {line:?}");
    }
    assert_eq!(clients_of(lines), hits(truth), "{name}: clients");
    let hits = hits(truth).len() as u64;
    let clients: Option<u64> = summaries.iter().map(|one| one.drops.clients).sum();
    assert_eq!(clients, Some(hits), "{name}: clients");
    let first = lines.iter().filter(|line| line.retry_of.is_none());
    assert_eq!(first.count() as u64, hits, "{name}: first drops");
}

/// The clients in drop lines, with their sequence numbers.
pub(crate) fn clients_of(lines: &[DropLine]) -> BTreeSet<(String, u16, Option<u32>)> {
    lines
        .iter()
        .filter_map(|line| {
            let Client { addr, port } = line.client.clone()?;
            Some((addr, port, line.isn))
        })
        .collect()
}

/// The clients that were refused.
pub(crate) fn hits(truth: &Truth) -> BTreeSet<(String, u16, Option<u32>)> {
    let hits = truth.clients.iter();
    hits.map(|hit| (hit.addr.clone(), hit.port, Some(hit.isn))).collect()
}

/// Checks that each listener has its own share, in any order.
fn assert_shares(name: &str, truth: &Truth, summaries: &[Summary]) {
    let mut seen: Vec<_> = summaries
        .iter()
        .map(|one| (one.enqueued, one.accepted, one.beside("migrated"), one.beside("migrated_in")))
        .collect();
    let mut shares: Vec<_> = truth
        .listeners
        .iter()
        .map(|share| {
            let beside = |one: &str| share.beside.get(one).copied().unwrap_or(0);
            (share.enqueued, share.accepted, beside("migrated"), beside("migrated_in"))
        })
        .collect();
    seen.sort_unstable();
    shares.sort_unstable();
    assert_eq!(seen, shares, "{name}: enqueued, accepted, migrated, migrated in");
}

/// Checks the counters of this test's namespace over the whole batch: everything went to traced
/// ports, so the tool must have seen as much.
pub(crate) fn assert_namespace(batch: &Batch<Truth>) {
    let played = batch.parts.iter().filter(|part| part.truth.absent.is_none());
    for part in played.filter(|part| part.name.contains("--current-netns")) {
        for summary in &part.summaries {
            for name in RECONCILED {
                let told = summary.reconciled.get(name).copied().unwrap_or_default();
                let kernel = counter(&batch.kernel, name);
                assert_eq!(told.kernel, kernel, "{}: the kernel's {name}", part.name);
                assert_eq!(told.seen, kernel, "{}: {name} seen", part.name);
            }
        }
    }
}

/// Checks the counters of a scenario in a namespace of its own, whose listener still exists, and
/// its `sk_drops`.
pub(crate) fn assert_own_namespace(name: &str, truth: &Truth, summary: &Summary) {
    for counted in RECONCILED {
        let told = summary.reconciled.get(counted).copied().unwrap_or_default();
        let kernel = counter(&truth.kernel, counted);
        assert_eq!((told.kernel, told.seen), (kernel, kernel), "{name}: {counted}");
    }
    let told = summary.reconciled.get("sk_drops").copied();
    let unseen = truth.beside.contains_key("ignored") && blind::to("ignored");
    if let (Some(drops), false) = (truth.sk_drops, unseen) {
        let told = told.unwrap_or_default();
        let all = &summary.reconciled;
        assert_eq!((told.kernel, told.seen), (drops, drops), "{name}: sk_drops in {all:?}");
    }
}

/// Was the scenario impossible in this kernel? That must then be true.
pub(crate) fn is_absent(part: &Part<Truth>) -> bool {
    let Part { name, truth, .. } = part;
    let Some(why) = &truth.absent else {
        return false;
    };
    let _ = writeln!(stderr(), "absent: {name}: {why}");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let truly = match truth.scenario.as_str() {
        "migrated" | "join-refused" => release.starts_with("5.10."),
        "listener-left" => available_parallelism().unwrap().get() == 1,
        _ => false,
    };
    assert!(truly, "{name}: reported as absent in {release}: {why}");
    let shown: &[&str] = match truth.scenario.as_str() {
        "migrated" => &["migrated", "migrated_in"],
        "join-refused" => &["join_refused"],
        _ => &["listener_left (uncounted)"],
    };
    for cause in shown {
        rows::absent(cause, why);
    }
    true
}

/// Prints what was provoked, counted and seen, for a table.
fn tell(truth: &Truth, summaries: &[Summary]) {
    let sum = |of: &dyn Fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    for (cause, provoked) in &truth.expected {
        let seen = sum(&|one| one.drops.of(cause));
        if truth.uncounted > 0 {
            rows::cause(&format!("{cause} (uncounted)"), *provoked, None, seen);
        } else {
            let kernel = counted_as(cause).map(|name| counter(&truth.kernel, name));
            rows::cause(cause, *provoked, kernel, seen);
        }
    }
    for (beside, provoked) in &truth.beside {
        let kernel = match beside.as_str() {
            "ignored" => truth.sk_drops,
            other => counted_as(other).map(|name| counter(&truth.kernel, name)),
        };
        rows::cause(beside, *provoked, kernel, sum(&|one| one.beside(beside)));
    }
}

/// The counter that only this cause increments in the scenario.
fn counted_as(name: &str) -> Option<&'static str> {
    let counter = match name {
        "syn_queue_full" => "TCPReqQFullDrop",
        "last_quarter" | "no_child" | "other" | "join_refused" | "unreachable" => "ListenDrops",
        "syn_cookie_sent" => "SyncookiesSent",
        "syn_cookie_valid" => "SyncookiesRecv",
        "syn_cookie_failed" => "SyncookiesFailed",
        "syn_queue_full_cookie" => "TCPReqQFullDoCookies",
        "fastopen_queue_full" => "TCPFastOpenListenOverflow",
        "migrated" | "migrated_in" => "TCPMigrateReqSuccess",
        full if full.starts_with("accept_queue_full") => "ListenOverflows",
        _ => return None,
    };
    Some(counter)
}
