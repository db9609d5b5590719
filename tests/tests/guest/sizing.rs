//! The number to set: what the tool recommends for a load is tried out with the same load,
//! and with less of it. `cargo xtask sizing` runs more shapes, more often (`BACKLOG_RUNS`),
//! and keeps the table. And whom it hit: who came in later, who gave up, who had left.

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
    arguments: &'static str,
    expected: Expected,
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

const fn shape(
    name: &'static str,
    backlog: u32,
    expected: Expected,
    arguments: &'static str,
) -> Shape {
    Shape { name, backlog, arguments, expected }
}

/// Clients that do not wait for each other.
const CLIENTS: &str = "--connect nonblocking";

const SHAPES: [Shape; 9] = [
    shape(
        "one burst",
        16,
        Expected::Raise,
        "--count 150 --burst 150 --rate 150 --accept-delay 3ms --connect-timeout 2500ms",
    ),
    shape(
        "bursts, one a second",
        16,
        Expected::Raise,
        "--count 300 --burst 100 --rate 100 --accept-delay 3ms --connect-timeout 2500ms",
    ),
    shape(
        "a stalled acceptor",
        16,
        Expected::Raise,
        "--duration 5s --rate 150 --stall-every 2s --stall-for 700ms --connect-timeout 2500ms",
    ),
    shape(
        "many clients with retries",
        32,
        Expected::Raise,
        "--count 400 --burst 400 --rate 400 --accept-delay 5ms --connect-timeout 8s",
    ),
    shape(
        "Poisson, workers at 0.8 of their rate",
        4,
        Expected::Raise,
        "--duration 12s --rate 80 --poisson 7 --accept-delay 9ms --connect-timeout 2500ms",
    ),
    shape(
        "accepts at 0.5 of the arrivals",
        16,
        Expected::AddWorkers,
        "--duration 8s --rate 200 --accept-delay 10ms --connect-timeout 2500ms",
    ),
    shape(
        "accepts at 0.8 of the arrivals",
        16,
        Expected::AddWorkers,
        "--duration 8s --rate 125 --accept-delay 10ms --connect-timeout 2500ms",
    ),
    shape(
        "accepts at 1.2 of the arrivals",
        16,
        Expected::Fits,
        "--duration 8s --rate 75 --accept-delay 10ms --connect-timeout 2500ms",
    ),
    shape(
        "accepts at 1.5 of the arrivals",
        16,
        Expected::Fits,
        "--duration 8s --rate 60 --accept-delay 10ms --connect-timeout 2500ms",
    ),
];

/// Of the shapes those that are always tried.
const FEW: [&str; 2] = ["one burst", "accepts at 0.5 of the arrivals"];

/// How often each shape is tried; none: a few of them, once.
fn runs() -> Option<u32> {
    env::var("BACKLOG_RUNS").ok()?.parse().ok()
}

/// Runs loads one after the other under one run of the tool: of each its summary.
fn traced(loads: &[(&Shape, u32)]) -> Vec<Summary> {
    let variants: Vec<Variant<'_>> = loads
        .iter()
        .map(|(shape, backlog)| {
            (shape.name, format!("-q --backlog {backlog} {CLIENTS} {}", shape.arguments))
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
        let wanted = runs();
        let shapes: Vec<&Shape> =
            SHAPES.iter().filter(|one| wanted.is_some() || FEW.contains(&one.name)).collect();
        for _ in 0..wanted.unwrap_or(1) {
            let first: Vec<_> = shapes.iter().map(|shape| (*shape, shape.backlog)).collect();
            let judged = traced(&first);
            let mut again = Vec::new();
            for (shape, summary) in shapes.iter().zip(&judged) {
                let sizing = &summary.sizing;
                let verdict = text(sizing, "verdict");
                assert!(!text(sizing, "why").is_empty(), "{}: no reason", shape.name);
                if let Some(backlog) = sizing["backlog"].as_u64() {
                    let backlog = u32::try_from(backlog).unwrap();
                    again.extend([(*shape, backlog), (*shape, backlog * 8 / 10)]);
                }
                rows::sizing(shape.name, shape.backlog, sizing, full(summary));
                if wanted.is_none() {
                    let expected = match shape.expected {
                        Expected::Raise => "raise",
                        Expected::AddWorkers => "add_workers",
                        Expected::Fits => "fits",
                    };
                    assert_eq!(verdict, expected, "{}: {}", shape.name, text(sizing, "why"));
                }
            }
            let tried = traced(&again);
            for ((shape, backlog), summary) in again.iter().zip(&tried) {
                rows::tried(shape.name, *backlog, full(summary), summary.peak.depth);
            }
            for (pair, (shape, backlog)) in tried.chunks(2).zip(again.iter().step_by(2)) {
                // One run may be unlucky: the experiment counts them.
                if wanted.is_none() && shape.expected == Expected::Raise {
                    assert_eq!(full(&pair[0]), 0, "{}: refused at {backlog}", shape.name);
                    assert!(full(&pair[1]) > 0, "{}: 0.8 of {backlog} is enough", shape.name);
                }
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
        let arguments = "-q --backlog 8 --count 60 --burst 60 --rate 60 --accept-delay 2ms \
                         --connect nonblocking --connect-timeout 20s --each-wait";
        let batch = trace_load(&[("refused and back", arguments.to_owned())]);
        let part = &batch.parts[0];
        let (truth, summary) = (&part.truth, part.summary());
        let told = |field: &str| summary.drops.of(field);
        let late = truth.waits.iter().flatten().filter(|wait| wait.at_most_us > LATE_US);
        let late = late.count() as u64;
        assert!(late > 5, "no overload: {truth:?}");
        let admitted = told("admitted");
        let off = part.missed + blind::slack();
        assert!(admitted.abs_diff(late) <= off, "{admitted} of {late} are told");
        let clients = summary.drops.clients.unwrap();
        let refused = truth.connects.tried - (truth.accepted - late);
        assert!(clients.abs_diff(refused) <= off, "{clients} of {refused} were refused");
        let outside = told("gave_up") + told("trying") + told("unknown");
        assert_eq!(admitted + outside, clients, "each client is one of these");
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
