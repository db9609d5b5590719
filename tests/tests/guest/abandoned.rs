//! Clients that leave while their connection is queued. After a reset, the connection stays in the
//! queue, without a port, until accept takes it. Only clients that leave after a while count as
//! impatient.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use backlog_tests::tracer::{Summary, Tracer};
use socket2::SockRef;

use super::help::{LIMIT, PORT, PORT_TEXT, await_depth, in_guest};

#[test]
fn a_connection_that_was_reset_in_the_queue_is_accepted_and_timed() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        let clients: Vec<TcpStream> =
            (0..5).map(|_| TcpStream::connect(("127.0.0.1", PORT)).unwrap()).collect();
        await_depth(&listener, 5);
        for client in clients {
            // With a linger time of zero, close sends a reset.
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        }
        accept_all(&listener, 5);
        let run = tracer.stop(LIMIT).unwrap();
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted, summary.queued), (5, 5, 0));
        assert_eq!(summary.wait_us.count(), 5);
    });
}

/// Eight clients close immediately, like health checks, and are accepted long after. None of them
/// lost patience.
#[test]
fn who_closes_at_once_did_not_lose_patience() {
    in_guest(|| {
        let summary = leaving(&[Leaving { after: Duration::ZERO, count: 8, by_reset: false }]);
        assert_eq!(summary.abandoned["fin"], 8, "{}", summary.abandoned);
        let why = summary.sizing["why"].as_str().unwrap();
        assert_ne!(summary.sizing["verdict"], "add_workers", "{why}");
        assert!(!why.contains("left"), "{why}");
    });
}

/// In addition, six clients wait for more than a second before they leave, by a FIN or a reset.
/// Only these count as impatient, and their wait ends when they leave, not when their connection is
/// accepted.
#[test]
fn who_waited_and_left_lost_patience_at_that_moment() {
    in_guest(|| {
        let second = Duration::from_millis(1100);
        let summary = leaving(&[
            Leaving { after: Duration::ZERO, count: 8, by_reset: false },
            Leaving { after: second, count: 3, by_reset: false },
            Leaving { after: second, count: 3, by_reset: true },
        ]);
        let why = summary.sizing["why"].as_str().unwrap();
        assert_eq!(summary.sizing["verdict"], "add_workers", "{why}");
        assert!(why.contains("6 of 14 clients had left"), "{why}");
        let early = ["none of them before 1.", "none of them before 2."];
        assert!(early.iter().any(|text| why.contains(text)), "{why}");
    });
}

/// Accepts this many connections, and fails if there are fewer.
fn accept_all(listener: &TcpListener, count: usize) {
    listener.set_nonblocking(true).unwrap();
    for number in 1..=count {
        let accepted = listener.accept();
        assert!(accepted.is_ok(), "accept {number} of {count}: {accepted:?}");
    }
}

struct Leaving {
    after: Duration,
    count: usize,
    by_reset: bool,
}

/// Clients connect together and leave after a time. They are accepted at least three seconds after
/// the first one has connected.
fn leaving(groups: &[Leaving]) -> Summary {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
    let mut waiting = Vec::new();
    for group in groups {
        let connected = (0..group.count).map(|_| TcpStream::connect(("127.0.0.1", PORT)).unwrap());
        waiting.push((group, connected.collect::<Vec<_>>()));
    }
    let count: usize = groups.iter().map(|group| group.count).sum();
    await_depth(&listener, u32::try_from(count).unwrap());
    // Connecting takes a fifth of a second in a slow guest; their wait begins after that.
    let begin = Instant::now();
    for (group, clients) in waiting {
        thread::sleep((begin + group.after).saturating_duration_since(Instant::now()));
        for client in clients {
            if group.by_reset {
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
    thread::sleep((begin + Duration::from_secs(3)).saturating_duration_since(Instant::now()));
    accept_all(&listener, count);
    tracer.stop(LIMIT).unwrap().summary(PORT).unwrap().clone()
}
