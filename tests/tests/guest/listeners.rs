//! Which listeners are traced, and when: only the selected ports, several at once, one that opens
//! later, one with sleeping acceptors or a queue from before the start, one that closes with its
//! queue, and one that listens again.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use backlog_tests::counters::Counters;
use backlog_tests::load;
use backlog_tests::tracer::{Kind, Line, Summary, Tracer};

use super::help::{
    LIMIT, Load, PORT, PORT_TEXT, Part, assert_counted, await_depth, counter, in_guest, stop,
    trace_load,
};

/// A hook on the exit of the accept function would never see threads that were already asleep in it
/// when the tracer attached.
#[test]
fn threads_asleep_before_the_start_and_ports_that_are_told_apart() {
    in_guest(|| {
        let asleep = [("blocking", 8000), ("epoll", 8001)].map(|(how, port)| {
            let threads = "--threads 8 --accept-before-start --hold-to-end";
            let arguments = format!("--count 100 --backlog 128 {threads} --accept {how}");
            (how, Load::listening(port, &arguments))
        });
        let neighbours = [(8002, 40), (8003, 70), (8004, 50)].map(|(port, count)| {
            (count, Load::listening(port, &format!("--count {count} --backlog 128")))
        });
        let tracer = Tracer::start(&["--port", "8000-8003"], LIMIT).unwrap();
        for (how, load) in asleep {
            let before = Counters::read().unwrap();
            load.go();
            assert_eq!(load.finish().accepted, 100, "asleep in {how}: the load itself");
            let kernel = Counters::read().unwrap().change_since(&before);
            assert_eq!(counter(&kernel, "PassiveOpens"), 100, "asleep in {how}: the kernel");
        }
        // All at the same time.
        for (_, load) in &neighbours {
            load.go();
        }
        for (count, load) in neighbours {
            assert_eq!(load.finish().accepted, count, "the load itself");
        }
        let run = stop(tracer);
        for (port, count, name) in [
            (8000, 100, "asleep in accept"),
            (8001, 100, "asleep in epoll"),
            (8002, 40, "one port"),
            (8003, 70, "another port at the same time"),
        ] {
            let summary = run.summary(port).unwrap();
            assert_eq!((summary.enqueued, summary.accepted), (count, count), "{name}");
        }
        assert!(run.summaries().all(|one| one.listener.port != 8004), "8004 was not chosen");
    });
}

#[test]
fn of_a_group_closed_with_a_queue_and_with_a_second_limit() {
    in_guest(|| {
        let variants = [
            ("group", "--count 90 --backlog 128 --reuseport --threads 3"),
            ("closed with a queue", "--count 9 --no-accept --linger-close --hold-to-end"),
            ("raised limit", "--count 60 --backlog 64 --relisten 128"),
            ("lowered limit", "--count 60 --backlog 128 --relisten 100"),
        ];
        let batch = trace_load(&variants.map(|(name, load)| (name, format!("-q {load}"))));
        let [group, closed, raised, lowered] = batch.parts.try_into().ok().unwrap();
        assert_own_queues(&group);

        assert_eq!(closed.truth.left_in_queue, 9, "{}: the load itself", closed.name);
        let killed = closed.summary().beside("killed_at_close");
        assert_eq!(killed, closed.truth.left_in_queue, "{}: killed", closed.name);
        let Summary { enqueued, accepted, queued, .. } = closed.summary();
        assert_eq!((*enqueued, *accepted, *queued), (9, 0, 0), "{}", closed.name);

        for (part, limit) in [(raised, 128), (lowered, 100)] {
            assert_eq!(part.truth.granted, limit, "{}: the load itself", part.name);
            assert_counted(&part);
            assert_eq!(part.summary().listener.limit, u64::from(limit), "{}", part.name);
        }
    });
}

/// Asserts that each member of the group has its own queue, as deep as its thread reports.
fn assert_own_queues(group: &Part<load::Truth>) {
    assert_eq!(group.truth.accepted, 90, "{}: the load itself", group.name);
    let mut seen: Vec<u64> = group.summaries.iter().map(|one| one.accepted).collect();
    let mut truth = group.truth.accepts_by_thread.clone();
    assert_eq!(seen.iter().sum::<u64>(), 90, "{}", group.name);
    // A member without a connection may have no summary.
    seen.retain(|count| *count > 0);
    truth.retain(|count| *count > 0);
    seen.sort_unstable();
    truth.sort_unstable();
    assert_eq!(seen, truth, "{}: accepts of each member", group.name);
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
        let run = stop(tracer);
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
        let run = stop(tracer);
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
