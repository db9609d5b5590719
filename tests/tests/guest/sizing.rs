//! The number to set: what the tool recommends for a load is tried out with the same load,
//! and with less of it. `cargo xtask sizing` runs more shapes, more often (`BACKLOG_RUNS`),
//! and keeps the table. And whom it hit: who came in later, who gave up, who had left.

use std::collections::BTreeMap;
use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use backlog_tests::load::Truth;
use backlog_tests::tracer::{Run, Summary, Tracer};
use serde_json::Value;
use socket2::SockRef;

use super::blind;
use super::help::{LIMIT, Load, PORT, Variant, in_guest, in_guest_once, stop, trace_load};
use super::rows;

/// A shape of load.
struct Shape {
    name: &'static str,
    backlog: u32,
    expected: Expected,
    /// The options of the load in this run: each is a bit different.
    options: fn(u32) -> String,
}

#[derive(Clone, Copy, PartialEq)]
enum Expected {
    /// A larger queue takes it.
    Raise,
    /// None does.
    AddWorkers,
    /// The backlog is enough.
    Fits,
}

impl Expected {
    fn verdict(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::AddWorkers => "add_workers",
            Self::Fits => "fits",
        }
    }
}

/// Clients that do not wait for each other, and give up.
const CLIENTS: &str = "--connect nonblocking --connect-timeout 2500ms";

const ONE_BURST: Shape = Shape {
    name: "one burst",
    backlog: 16,
    expected: Expected::Raise,
    options: |run| {
        let size = 100 + 10 * run;
        format!("--count {size} --burst {size} --rate {size} --accept-delay 3ms {CLIENTS}")
    },
};

const TWICE_AS_MANY: Shape =
    steady("accepts at 0.5 of the arrivals", Expected::AddWorkers, |_| at_rate(200));

static SHAPES: [Shape; 9] = [
    ONE_BURST,
    Shape {
        name: "bursts, one a second",
        backlog: 16,
        expected: Expected::Raise,
        options: |run| {
            let (size, all) = (60 + 5 * run, 3 * (60 + 5 * run));
            format!("--count {all} --burst {size} --rate {size} --accept-delay 3ms {CLIENTS}")
        },
    },
    Shape {
        name: "a stalled acceptor",
        backlog: 16,
        expected: Expected::Raise,
        options: |run| {
            let rate = 100 + 5 * run;
            format!("--duration 5s --rate {rate} --stall-every 2s --stall-for 700ms {CLIENTS}")
        },
    },
    Shape {
        name: "many clients with retries",
        backlog: 32,
        expected: Expected::Raise,
        options: |run| {
            let size = 200 + 20 * run;
            format!(
                "--count {size} --burst {size} --rate {size} --accept-delay 5ms \
                 --connect nonblocking --connect-timeout 8s"
            )
        },
    },
    Shape {
        name: "Poisson, workers at 0.8 of their rate",
        backlog: 4,
        expected: Expected::Raise,
        options: |run| {
            let seed = 1 + run;
            format!("--duration 12s --rate 80 --poisson {seed} --accept-delay 9ms {CLIENTS}")
        },
    },
    TWICE_AS_MANY,
    steady("accepts at 0.8 of the arrivals", Expected::AddWorkers, |_| at_rate(125)),
    steady("accepts at 1.2 of the arrivals", Expected::Fits, |_| at_rate(75)),
    steady("accepts at 1.5 of the arrivals", Expected::Fits, |_| at_rate(60)),
];

/// Connections at an even pace, to an acceptor that takes 100 a second.
const fn steady(name: &'static str, expected: Expected, options: fn(u32) -> String) -> Shape {
    Shape { name, backlog: 16, expected, options }
}

fn at_rate(rate: u32) -> String {
    format!("--duration 8s --rate {rate} --accept-delay 10ms {CLIENTS}")
}

/// Everybody comes while the acceptor stands still: what is needed does not depend on how fast
/// clients come and the acceptor is.
const BURST_IN_A_STALL: Shape = Shape {
    name: "a burst in a stall",
    backlog: 16,
    expected: Expected::Raise,
    options: |_| {
        let stall = "--stall 2s --stall-after 3";
        format!("--count 100 --burst 100 --rate 100 --accept-delay 1ms {stall} {CLIENTS}")
    },
};

/// The shapes that are tried: all of them for the table, else two.
fn shapes() -> Vec<&'static Shape> {
    match runs() {
        Some(_) => SHAPES.iter().collect(),
        None if is_exact() => vec![&ONE_BURST, &TWICE_AS_MANY],
        None => vec![&BURST_IN_A_STALL, &TWICE_AS_MANY],
    }
}

/// How often each shape is tried; none: a few of them, once.
fn runs() -> Option<u32> {
    env::var("BACKLOG_RUNS").ok()?.parse().ok()
}

/// Does the same load do the same here each time? It does by a clock that counts instructions.
/// By any other, what else the machine does comes between a burst and its acceptor.
fn is_exact() -> bool {
    env::var_os("BACKLOG_EXACT").is_some()
}

/// A shape in one of its runs, with a backlog.
#[derive(Clone, Copy)]
struct Trial {
    shape: &'static Shape,
    run: u32,
    backlog: u32,
}

/// Runs loads one after the other under one run of the tool: of each its summary.
fn traced(trials: &[Trial]) -> Vec<Summary> {
    let variants: Vec<Variant<'_>> = trials
        .iter()
        .map(|Trial { shape, run, backlog }| {
            (shape.name, format!("-q --backlog {backlog} {}", (shape.options)(*run)))
        })
        .collect();
    let batch = trace_load(&variants);
    batch.parts.iter().map(|part| part.summary().clone()).collect()
}

fn text<'a>(sizing: &'a Value, field: &str) -> &'a str {
    sizing[field].as_str().unwrap_or_default()
}

/// Packets that a full queue has refused.
fn full(summary: &Summary) -> u64 {
    let full = ["syn", "ack", "cookie", "reset"].map(|what| format!("accept_queue_full_{what}"));
    full.iter().map(|cause| summary.drops.of(cause)).sum()
}

#[test]
fn what_is_recommended_is_enough_and_less_is_not() {
    in_guest_once(|| {
        let runs = runs();
        for run in 0..runs.unwrap_or(1) {
            let first: Vec<Trial> = shapes()
                .into_iter()
                .map(|shape| Trial { shape, run, backlog: shape.backlog })
                .collect();
            let mut again = Vec::new();
            for (trial, summary) in first.iter().zip(traced(&first)) {
                let Trial { shape, backlog, .. } = *trial;
                let sizing = &summary.sizing;
                let (verdict, expected) = (text(sizing, "verdict"), shape.expected.verdict());
                let why = text(sizing, "why");
                assert!(!why.is_empty(), "{}: no reason", shape.name);
                if let Some(wanted) = sizing["backlog"].as_u64() {
                    let wanted = u32::try_from(wanted).unwrap();
                    let less = wanted * 8 / 10;
                    again.extend([wanted, less].map(|backlog| Trial { backlog, ..*trial }));
                }
                rows::sizing(shape.name, backlog, expected, sizing, full(&summary));
                // One run may be unlucky: the experiment counts them.
                assert!(runs.is_some() || verdict == expected, "{}: {why}", shape.name);
            }
            let tried = traced(&again);
            for (Trial { shape, backlog, .. }, summary) in again.iter().zip(&tried) {
                rows::tried(shape.name, *backlog, full(summary), summary.peak.depth);
            }
            if runs.is_some() {
                continue;
            }
            for (pair, then) in tried.chunks(2).zip(again.chunks(2)) {
                let Trial { shape, backlog, .. } = then[0];
                let refused = [full(&pair[0]), full(&pair[1])];
                assert_eq!(refused[0], 0, "{}: refused at {backlog}", shape.name);
                assert!(refused[1] > 0, "{}: 0.8 of {backlog} is enough", shape.name);
            }
        }
    });
}

/// Who was refused and comes back is let in a second later at the earliest, at whatever step of
/// its handshake it was refused; all others are accepted well before. Those whose SYN cookie's
/// ACK was refused believe that they are connected, and are never accepted.
#[test]
fn who_was_refused_and_got_in_later_is_counted() {
    const LATE_US: u64 = 700_000;

    in_guest(|| {
        // The acceptor stands still while all of them come; they stay, so that no FIN is looked
        // at beside its ACK, and no ACK comes behind the end.
        let arguments = "-q --backlog 8 --count 60 --burst 60 --rate 60 --accept-delay 2ms \
                         --stall 300ms --stall-after 3 --connect nonblocking \
                         --connect-timeout 20s --hold 1500ms --each-wait --settle 4s";
        let batch = trace_load(&[("refused and back", arguments.to_owned())]);
        let part = &batch.parts[0];
        let (truth, summary) = (&part.truth, part.summary());
        let told = |field: &str| summary.drops.of(field);
        // A client's first connection: an ACK with a cookie that comes again when that has been
        // closed makes another one.
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
        assert!(
            admitted.abs_diff(late) <= off,
            "{admitted} of {late} are told: {all:?}, {truth:?}"
        );
        let told_clients = summary.drops.clients.unwrap();
        let refused = truth.connects.tried - in_time;
        assert!(
            told_clients.abs_diff(refused) <= off,
            "{told_clients} of {refused} were refused: {all:?}, {truth:?}"
        );
        let outside = told("gave_up") + told("trying") + told("unknown");
        assert_eq!(admitted + outside, told_clients, "each client is one of these");
        let delay = summary.drops.delay_us();
        assert!(delay["p50"].as_u64().unwrap() >= LATE_US, "{delay}");
    });
}

/// Clients that end or reset their connection before anybody accepts it.
#[test]
fn who_has_left_by_the_time_of_the_accept_is_counted() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let tracer = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], PORT));
        let clients: Vec<TcpStream> =
            (0..6).map(|_| TcpStream::connect_timeout(&server, LIMIT).unwrap()).collect();
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

/// When packets begin to be refused, the acceptors are looked at.
#[test]
fn what_the_acceptor_was_doing_is_told() {
    in_guest_once(|| {
        // Two ports: the tool knows who holds the first by its look at the start.
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
        let first = told.first().unwrap_or_else(|| panic!("none was told: {}", run.stderr));
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
    let packets: u64 = episodes.iter().map(|one| one["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, summary.drops.total, "of all episodes");
}
