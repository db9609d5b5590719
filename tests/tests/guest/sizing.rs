//! The recommended number: the tool's advice for a load is tested with the same load, and with less
//! than recommended. `cargo xtask sizing` runs more shapes, more often (`BACKLOG_RUNS`), and writes
//! the table. Also tests the outcomes of affected clients: admitted later, gave up, or left.

use std::collections::BTreeMap;
use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use backlog_tests::load::Truth;
use backlog_tests::tracer::{Run, Summary, Tracer};
use serde_json::Value;
use socket2::SockRef;

use super::blind;
use super::help::{
    LIMIT, Load, PORT, Variant, await_depth, in_guest, in_guest_once, stop, trace_load,
};
use super::rows;
use super::shapes::{
    BURST_IN_A_STALL, Expected, FEW_BUT_TOO_MANY, ONE_BURST, SHAPES, Shape, TWICE_AS_MANY,
};

/// The shapes to test: for the table, all or those whose name contains `BACKLOG_SHAPE`; otherwise
/// two.
fn shapes() -> Vec<&'static Shape> {
    let wanted = env::var("BACKLOG_SHAPE").unwrap_or_default();
    match runs() {
        Some(_) => SHAPES.iter().filter(|shape| shape.name.contains(&wanted)).collect(),
        None if is_exact() => vec![&ONE_BURST, &TWICE_AS_MANY],
        None => vec![&BURST_IN_A_STALL, &FEW_BUT_TOO_MANY],
    }
}

/// How often each shape is tested; None: a few of them, once.
fn runs() -> Option<u32> {
    env::var("BACKLOG_RUNS").ok()?.parse().ok()
}

/// Does the same load behave the same each time? It does with a clock that counts instructions.
/// Otherwise, other work of the machine comes between a burst and its acceptor.
fn is_exact() -> bool {
    env::var_os("BACKLOG_EXACT").is_some()
}

/// A run of a shape, with a backlog.
#[derive(Clone, Copy)]
struct Trial {
    shape: &'static Shape,
    run: u32,
    backlog: u32,
    workers: u32,
}

impl Trial {
    fn first(shape: &'static Shape, run: u32) -> Self {
        Self { shape, run, backlog: shape.backlog, workers: shape.workers }
    }
}

/// Runs loads one after the other during one run of the tool; returns the summary of each.
fn traced(trials: &[Trial]) -> Vec<Summary> {
    let variants: Vec<Variant<'_>> = trials
        .iter()
        .map(|Trial { shape, run, backlog, workers }| {
            let options = (shape.options)(*run);
            (shape.name, format!("-q --backlog {backlog} --threads {workers} {options}"))
        })
        .collect();
    let batch = trace_load(&variants);
    batch.parts.iter().map(|part| worst(&part.summaries).clone()).collect()
}

/// The summary of the listener that refused most: in a group, the member that matters.
fn worst(members: &[Summary]) -> &Summary {
    members.iter().max_by_key(|member| member.drops.total).unwrap()
}

fn text<'a>(sizing: &'a Value, field: &str) -> &'a str {
    sizing[field].as_str().unwrap_or_default()
}

/// Packets for which a queue had no room: refused, or answered with a SYN cookie.
fn full(summary: &Summary) -> u64 {
    let full = ["syn", "ack", "cookie", "reset"].map(|what| format!("accept_queue_full_{what}"));
    let refused: u64 = full.iter().map(|cause| summary.drops.of(cause)).sum();
    let cookies = summary.beside.get("syn_queue_full_cookie").and_then(Value::as_u64);
    refused + summary.drops.of("syn_queue_full") + cookies.unwrap_or(0)
}

/// The number of loads to run before their advice is tested: starting the tool takes longer than a
/// load.
const AT_ONCE: usize = 8;

#[test]
fn what_is_recommended_is_enough_and_less_is_not() {
    in_guest_once(|| {
        let first: Vec<Trial> = (0..runs().unwrap_or(1))
            .flat_map(|run| shapes().into_iter().map(move |shape| Trial::first(shape, run)))
            .collect();
        for trials in first.chunks(AT_ONCE) {
            let mut again = Vec::new();
            for (trial, summary) in trials.iter().zip(traced(trials)) {
                assert_verdict(trial, &summary);
                again.extend(trials_of_advice(trial, &summary.sizing));
            }
            let tried = if again.is_empty() { Vec::new() } else { traced(&again) };
            for (trial, summary) in again.iter().zip(&tried) {
                let Trial { shape, run, backlog, workers } = *trial;
                let more = (workers > shape.workers).then_some(workers);
                rows::tried(shape.name, run, backlog, more, full(summary), summary.peak.depth);
            }
            if runs().is_none() {
                assert_advice(&again, &tried);
            }
        }
    });
}

/// Asserts that the verdict is the expected one. If runs are counted, single failures are
/// permitted, and appear in the row.
fn assert_verdict(trial: &Trial, summary: &Summary) {
    let Trial { shape, run, backlog, .. } = *trial;
    let sizing = &summary.sizing;
    let (verdict, expected) = (text(sizing, "verdict"), shape.expected.verdict());
    let why = text(sizing, "why");
    assert!(!why.is_empty(), "{}: no reason", shape.name);
    let asked = rows::Asked { shape: shape.name, run, backlog, expected, needed: needed(sizing) };
    rows::sizing(&asked, shape.of_twenty, sizing, full(summary));
    assert!(runs().is_some() || verdict == expected, "{}: {why}", shape.name);
}

/// The same load with the recommended backlog, and with a limit at which the longer queue holds 0.8
/// of the needed depth; or with the recommended number of workers.
fn trials_of_advice(trial: &Trial, sizing: &Value) -> Vec<Trial> {
    if let Some(wanted) = sizing["backlog"].as_u64() {
        let limits = [wanted, limit_for(sizing, 8)];
        return limits
            .map(|limit| Trial { backlog: u32::try_from(limit).unwrap(), ..*trial })
            .into();
    }
    let workers = sizing["times_present_rate"].as_f64().and_then(|times| more(trial, times));
    workers.map(|workers| Trial { workers, ..*trial }).into_iter().collect()
}

/// The limit at which the longer queue holds these tenths of the needed depth: the accept queue
/// holds one connection more than its limit, the SYN queue as many requests.
fn limit_for(sizing: &Value, tenths: u64) -> u64 {
    let holds = |queue: &str| sizing[queue].as_u64().unwrap_or(0) * tenths / 10;
    holds("needed_depth").saturating_sub(1).max(holds("needed_syn_queue"))
}

/// The depth that the longer queue needs.
fn needed(sizing: &Value) -> Option<u64> {
    let queues = ["needed_depth", "needed_syn_queue"];
    queues.iter().filter_map(|queue| sizing[*queue].as_u64()).max()
}

/// The number of workers times a factor, rounded up.
fn more(trial: &Trial, times: f64) -> Option<u32> {
    let workers = (1..=100).find(|count| f64::from(*count) >= times * f64::from(trial.workers))?;
    (workers > trial.workers).then_some(workers)
}

fn assert_advice(again: &[Trial], tried: &[Summary]) {
    let mut trials = again.iter().zip(tried);
    while let Some((trial, summary)) = trials.next() {
        let Trial { shape, backlog, workers, .. } = *trial;
        assert_eq!(full(summary), 0, "{}: refused at {backlog} by {workers}", shape.name);
        if shape.expected == Expected::Raise
            && let Some((_, less)) = trials.next()
        {
            assert!(full(less) > 0, "{}: 0.8 of the needed depth is enough", shape.name);
        }
    }
}

/// A refused client is admitted a second later at the earliest, at whichever step of its handshake
/// it was refused; all others are accepted well before. Clients whose cookie ACK was refused
/// believe that they are connected, and are never accepted.
#[test]
fn who_was_refused_and_got_in_later_is_counted() {
    const LATE_US: u64 = 700_000;

    in_guest(|| {
        // The acceptor is stalled while all of them arrive. They stay connected, so that no FIN is
        // processed next to its ACK, and no ACK arrives after the end.
        let arguments = "-q --backlog 8 --count 60 --burst 60 --rate 60 --accept-delay 2ms \
                         --stall 300ms --stall-after 3 --connect nonblocking \
                         --connect-timeout 20s --hold 1500ms --each-wait --settle 4s";
        let batch = trace_load(&[("refused and back", arguments.to_owned())]);
        let part = &batch.parts[0];
        let (truth, summary) = (&part.truth, part.summary());
        let told = |field: &str| summary.drops.of(field);
        // Only the first connection of each client: if an ACK with a cookie is repeated after the
        // connection has closed, it creates another one.
        let mut first: BTreeMap<u16, u64> = BTreeMap::new();
        for wait in truth.waits.iter().flatten() {
            let at_most_us = first.entry(wait.peer_port).or_insert(u64::MAX);
            *at_most_us = wait.at_most_us.min(*at_most_us);
        }
        let late = first.values().filter(|at_most_us| **at_most_us > LATE_US).count() as u64;
        let in_time = first.len() as u64 - late;
        assert!(late > 5, "no overload: {truth:?}");
        let admitted = told("admitted");
        let off = part.missed + blind::slack();
        let all = &summary.drops;
        // A client whose cookie ACK was refused believes that it is connected. Its FIN creates a
        // connection that the server accepts although the client is gone, so this does not count as
        // admitted.
        let believing = told("believing");
        assert!(
            admitted <= late + off && late <= admitted + believing + off,
            "{admitted} and {believing} of {late}, off by {off} at most: {all:?}, {truth:?}"
        );
        let told_clients = summary.drops.clients.unwrap();
        let refused = truth.connects.tried - in_time;
        assert!(
            told_clients.abs_diff(refused) <= off,
            "{told_clients} of {refused} reported, off by {off} at most: {all:?}, {truth:?}"
        );
        let outside = told("gave_up") + told("reset") + told("trying") + told("unknown");
        assert_eq!(admitted + outside, told_clients, "each client has one outcome");
        let delay = summary.drops.delay_us();
        let median = delay["p50"].as_u64();
        assert!(
            median.is_some_and(|median| median >= LATE_US),
            "{delay}, off by {off} at most: {all:?}, {truth:?}"
        );
    });
}

/// Clients that end or reset their connection before it is accepted.
#[test]
fn who_has_left_by_the_time_of_the_accept_is_counted() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let tracer = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], PORT));
        let clients: Vec<TcpStream> =
            (0..6).map(|_| TcpStream::connect_timeout(&server, LIMIT).unwrap()).collect();
        await_depth(&listener, 6);
        let stays = clients.into_iter().enumerate().filter_map(|(index, client)| {
            if index < 2 {
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            }
            (index >= 5).then_some(client)
        });
        let _stays: Vec<TcpStream> = stays.collect();
        for _ in 0..6 {
            listener.accept().unwrap();
        }
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        let abandoned = &summary.abandoned;
        assert_eq!((&abandoned["reset"], &abandoned["fin"]), (&2.into(), &3.into()), "{abandoned}");
        assert_eq!(summary.accepted, 6);
    });
}

/// When drops begin, the acceptors are inspected.
#[test]
fn what_the_acceptor_was_doing_is_told() {
    in_guest_once(|| {
        // There are two ports: the tool knows the holder of the first from its scan at the start.
        let load = Load::listening(
            PORT,
            "--backlog 8 --count 40 --burst 40 --rate 40 --stall 1s --stall-after 3 \
             --connect nonblocking --connect-timeout 8s",
        );
        let tracer = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let pid = load.id();
        load.go();
        let _: Truth = load.finish();
        let run = stop(tracer);
        let told: Vec<&Value> =
            run.lines.iter().filter(|line| line.is("acceptor")).map(|line| &line.raw).collect();
        let first = told.first().unwrap_or_else(|| panic!("none was reported: {}", run.stderr));
        assert_eq!(first["process"]["pid"], pid, "{first}");
        assert_eq!(first["process"]["comm"], "backlog-load", "{first}");
        let threads: u64 = first["doing"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["threads"].as_u64().unwrap())
            .sum();
        assert!(threads > 1 && first["threads"] == threads, "{first}");
        assert_episode(&run, pid);
    });
}

fn assert_episode(run: &Run, pid: u32) {
    let summary = run.summary(PORT).unwrap();
    let episodes = summary.episodes["kept"].as_array().unwrap();
    assert!(!episodes.is_empty());
    assert_eq!(episodes[0]["acceptor"]["process"]["pid"], pid, "{}", episodes[0]);
    // More than a second later, only retries arrive, and these begin no episode.
    let packets: u64 = episodes.iter().map(|one| one["packets"].as_u64().unwrap()).sum();
    assert!(packets >= summary.drops.clients.unwrap(), "{packets} packets: {}", summary.episodes);
    assert!(packets <= summary.drops.total, "{packets} packets: {}", summary.episodes);
}
