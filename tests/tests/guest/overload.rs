//! Servers that are slower than their clients for a while, on all CPUs: the tool must agree with
//! the kernel at each interval and at the end.
//!
//! `BACKLOG_SECONDS` (3) is how long each of them runs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::thread::available_parallelism;

use backlog_tests::counters::{Changes, Counters};
use backlog_tests::load::Truth;
use backlog_tests::sysctl::Sysctl;
use backlog_tests::tracer::{Kind, Line, Reconciled, Run, Summary, Tracer};

use super::blind;
use super::compare::RECONCILED;
use super::help::{LIMIT, Load, PORT, counter, in_guest, stop};
use super::rows;

/// Four client threads, each with many connects at the same time, and a queue that holds 17.
const CLIENTS: &str = "--backlog 16 --accept-delay 5ms --clients 4 --connect nonblocking \
                       --connect-timeout 1500ms --rate 400";

/// A kind of server: its name in the table, and its options.
struct Server {
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    arguments: &'static str,
}

const SERVERS: [Server; 4] = [
    Server { name: "default", settings: &[], arguments: "" },
    Server {
        name: "abort_on_overflow",
        settings: &[("net.ipv4.tcp_abort_on_overflow", "1")],
        arguments: "--family dual",
    },
    Server {
        name: "syncookies=2",
        settings: &[("net.ipv4.tcp_syncookies", "2")],
        arguments: "--family v6",
    },
    Server {
        name: "syncookies=0",
        settings: &[("net.ipv4.tcp_syncookies", "0"), ("net.ipv4.tcp_max_syn_backlog", "16")],
        arguments: "",
    },
];

#[test]
fn every_interval_and_the_end_agree_with_the_kernel() {
    in_guest(|| {
        let seconds = env::var("BACKLOG_SECONDS").unwrap_or_else(|_| "3".to_owned());
        let ports = format!("{PORT}-{}", PORT + 9);
        let tracer = Tracer::start(&["--port", &ports, "0.5"], LIMIT).unwrap();
        let start = Counters::read().unwrap();
        let loads: Vec<(&Server, u16, Truth)> = (PORT..)
            .zip(&SERVERS)
            .map(|(port, server)| {
                let set = |(name, value): &(&str, &str)| Sysctl::set(name, value).unwrap();
                let _settings: Vec<Sysctl> = server.settings.iter().map(set).collect();
                let arguments =
                    format!("{CLIENTS} --each-wait --duration {seconds}s {}", server.arguments);
                let load = Load::listening(port, &arguments);
                load.go();
                (server, port, load.finish())
            })
            .collect();
        let kernel = Counters::read().unwrap().change_since(&start);
        let run = stop(tracer);
        for (server, port, truth) in &loads {
            assert_server(server, run.summary(*port).unwrap(), truth, &run);
        }
        let seen = assert_namespace(&run, &kernel);
        assert!(seen > 20, "only {seen} overflows: no overload");
        let compared = assert_intervals(&run);
        assert!(compared > 3 * SERVERS.len(), "only {compared} intervals were compared");
    });
}

/// Checks one server against its own counts and those of its clients.
fn assert_server(server: &Server, summary: &Summary, truth: &Truth, run: &Run) {
    let name = server.name;
    let missed = blind::missed(run);
    let left = summary.accepted + summary.beside("killed_at_close");
    blind::assert_count(summary.enqueued, left, missed, &format!("{name}: left the queue"));
    blind::assert_count(summary.accepted, truth.accepted, missed, &format!("{name}: accepted"));
    blind::assert_seen(summary, name);
    let overflows = counter(&truth.kernel, "ListenOverflows");
    let full = ["syn", "ack", "cookie", "reset"]
        .map(|what| summary.drops.of(&format!("accept_queue_full_{what}")));
    let seen = full.iter().sum::<u64>();
    blind::assert_close(seen, overflows, &format!("{name}: queue full"));
    // A final ACK may have arrived while the listener closed; no counter shows that.
    let (left, uncounted) = (summary.drops.of("listener_left"), summary.drops.of("uncounted"));
    let odd = run.drops().filter(|drop| !drop.cause.starts_with("accept_queue"));
    let odd: Vec<_> = odd.filter(|drop| drop.listener == summary.listener.id).collect();
    assert_eq!(left, uncounted, "{name}: uncounted: {odd:?}");
    let counted = summary.drops.total - uncounted;
    let drops = counter(&truth.kernel, "ListenDrops");
    blind::assert_close(counted, drops, &format!("{name}: total"));
    for cause in ["other", "no_child"] {
        assert_eq!(summary.drops.of(cause), 0, "{name}: {cause}");
    }
    // Clients without an answer must appear in the drops.
    let told: BTreeSet<u16> = run
        .drops()
        .filter(|drop| drop.listener == summary.listener.id)
        .filter_map(|drop| drop.client.as_ref().map(|client| client.port))
        .collect();
    let only_counted = summary.drops.of("only_counted");
    let untold = truth.unanswered.iter().flatten().filter(|peer| !told.contains(&peer.port));
    let untold: Vec<_> = untold.collect();
    // Connects that had just begun when the time was over could not be refused.
    let excused = untold.len() as u64 <= truth.connects.pending || only_counted > 0;
    assert!(excused, "{name}: no answer, but in no drop line: {untold:?}");
    for (cause, count) in ["syn", "ack", "cookie", "reset"].iter().zip(full) {
        let label = format!("{name}: accept_queue_full_{cause}");
        rows::load(&label, None, None, count);
    }
    for cause in ["syn_queue_full", "last_quarter", "other", "no_child", "listener_left"] {
        let label = format!("{name}: {cause}");
        rows::load(&label, None, None, summary.drops.of(cause));
    }
    rows::load(&format!("{name}: ListenOverflows"), None, Some(overflows), full.iter().sum());
    rows::load(&format!("{name}: queued"), Some(truth.accepted), None, summary.enqueued);
}

/// Compares the tool's account of the namespace at the end with the test's own reading. Returns the
/// `ListenOverflows` that the tool has seen.
fn assert_namespace(run: &Run, kernel: &Changes) -> u64 {
    let summary = run.summary(PORT).unwrap();
    for name in RECONCILED {
        let Reconciled { kernel: told, seen } =
            summary.reconciled.get(name).copied().unwrap_or_default();
        let own = counter(kernel, name);
        assert_eq!(told, own, "{name}: the kernel's as reported");
        blind::assert_close(seen, own, name);
        rows::load(&format!("all: {name}"), None, Some(own), seen);
    }
    summary.reconciled["ListenOverflows"].seen
}

/// Asserts that at each interval no counter of the namespace and no `sk_drops` of a listener
/// differs. Returns how many intervals had a comparison.
///
/// The kernel counts a packet in the middle of a function, and the tool counts it at the end. An
/// emulated CPU can stand still in between for the whole reading; the next interval must then
/// agree.
fn assert_intervals(run: &Run) -> usize {
    let cpus = available_parallelism().unwrap().get() as u64;
    let (mut compared, mut last, mut in_flight) = (0, None, 0);
    for Line { kind, raw } in &run.lines {
        let judged = match kind {
            Kind::Interval(_) => &raw["reconciled"],
            Kind::Other(name) if name == "namespace" => &raw["reconciled"],
            _ => continue,
        };
        let mut judged: BTreeMap<String, Reconciled> =
            serde_json::from_value(judged.clone()).unwrap();
        // Ignored packets increment it, too.
        if blind::to("ignored") {
            judged.remove("sk_drops");
        }
        let differ = judged.values().filter(|one| one.kernel != one.seen).count();
        for (name, Reconciled { kernel, seen }) in &judged {
            assert!(kernel.abs_diff(*seen) <= 2 * cpus + blind::slack(), "{name}: {raw}");
            compared += usize::from(*seen > 0);
        }
        if let Some(sk_drops) = judged.get("sk_drops") {
            last = Some(*sk_drops);
        } else if differ > 0 && blind::slack() == 0 {
            in_flight += 1;
            assert!(in_flight < 2, "twice in a row: {raw}");
        } else {
            in_flight = 0;
        }
    }
    let Reconciled { kernel, seen } = last.unwrap_or_default();
    rows::load("last server: sk_drops", None, Some(kernel), seen);
    compared
}
