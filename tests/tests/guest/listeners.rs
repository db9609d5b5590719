//! Which listeners are traced, and when: only the chosen port, several at
//! once, one that appears later, one with a queue from before the start.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use backlog_tests::clock::wait_until;
use backlog_tests::socket;
use backlog_tests::tracer::{Kind, Line, Tracer};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, trace_load};

const OTHER: u16 = 8001;

#[test]
fn only_the_chosen_port_is_counted() {
    in_guest(|| {
        let run = two_listeners(PORT_TEXT);
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted), (40, 40));
        assert!(run.summary(OTHER).is_err(), "the other port was traced");
    });
}

#[test]
fn two_chosen_ports_are_told_apart() {
    in_guest(|| {
        let run = two_listeners("8000-8001");
        for (port, count) in [(PORT, 40), (OTHER, 70)] {
            let summary = run.summary(port).unwrap();
            assert_eq!((summary.enqueued, summary.accepted), (count, count));
        }
    });
}

/// 40 connections on one port while 70 come on the other.
fn two_listeners(ports: &str) -> backlog_tests::tracer::Run {
    let one = Load::listening(PORT, "--count 40 --backlog 128");
    let other = Load::listening(OTHER, "--count 70 --backlog 128");
    let tracer = Tracer::start(&["--port", ports], LIMIT).unwrap();
    one.go();
    other.go();
    assert_eq!(one.finish().accepted, 40);
    assert_eq!(other.finish().accepted, 70);
    tracer.stop(LIMIT).unwrap()
}

#[test]
fn each_member_of_a_reuseport_group_has_its_own_queue() {
    in_guest(|| {
        let traced = trace_load("--count 90 --backlog 128 --reuseport --threads 3");
        assert_eq!(traced.truth.accepted, 90, "the load itself");
        let mut seen: Vec<u64> = traced.run.summaries().map(|one| one.accepted).collect();
        let mut truth = traced.truth.accepts_by_thread.clone();
        assert_eq!(seen.iter().sum::<u64>(), 90);
        // A member without a connection may have no summary.
        seen.retain(|count| *count > 0);
        truth.retain(|count| *count > 0);
        seen.sort_unstable();
        truth.sort_unstable();
        assert_eq!(seen, truth);
    });
}

#[test]
fn a_listener_that_appears_later_is_found() {
    in_guest(|| {
        let mut tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        assert!(!tracer.lines().unwrap().iter().any(is_listener));
        let load = Load::listening(PORT, "--count 30 --backlog 100");
        load.go();
        let truth = load.finish();
        tracer
            .wait_for("the listener's line", LIMIT, |lines| lines.iter().any(is_listener))
            .unwrap();
        let run = tracer.stop(LIMIT).unwrap();
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted), (30, truth.accepted));
        assert_eq!(summary.listener.limit, 100);
    });
}

fn is_listener(line: &Line) -> bool {
    matches!(&line.kind, Kind::Listener(listener) if listener.port == PORT)
}

#[test]
fn what_was_queued_before_the_start_is_accepted_without_invented_waits() {
    in_guest(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        let since = Instant::now();
        let mut clients: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
        await_depth(&listener, 3);
        let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        clients.extend((0..2).map(|_| connect()));
        await_depth(&listener, 5);
        for _ in 0..5 {
            listener.accept().unwrap();
        }
        let longest = since.elapsed();
        let run = tracer.stop(LIMIT).unwrap();
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted), (2, 5));
        assert_eq!(summary.peak.depth, 5);
        assert!(summary.wait_us.count() <= 5);
        let seen = summary.wait_us.max.unwrap_or_default();
        // The histogram may round up by its own error.
        let longest = longest.as_secs_f64() * 1e6 * 1.01;
        assert!(seen <= longest, "{seen} us, where {longest} us passed");
    });
}

fn await_depth(listener: &TcpListener, depth: u32) {
    wait_until("the queue to fill", LIMIT, || Ok(socket::queue(listener)?.depth == depth)).unwrap();
}
