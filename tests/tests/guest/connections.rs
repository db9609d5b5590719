//! Ordinary connections: each is counted, and counted once, whatever the
//! family and however the server waits for it.

use backlog_tests::tracer::Tracer;

use super::help::{LIMIT, Load, PORT, PORT_TEXT, assert_exact, in_guest, trace_load};

/// All of them would fit into the queue: nothing is refused however slow the
/// guest is, so every account must say the same.
const MANY: &str = "--count 300 --backlog 512 --clients 2";

#[test]
fn ipv4() {
    in_guest(|| assert_exact(&trace_load(MANY)));
}

#[test]
fn ipv6() {
    in_guest(|| assert_exact(&trace_load(&format!("{MANY} --family v6"))));
}

/// In the kernel such a connection passes both families' functions.
#[test]
fn ipv4_clients_of_a_dual_listener_count_once() {
    in_guest(|| assert_exact(&trace_load(&format!("{MANY} --family dual"))));
}

#[test]
fn ipv6_clients_of_a_dual_listener() {
    in_guest(|| {
        assert_exact(&trace_load(&format!("{MANY} --family dual --client-family v6")));
    });
}

#[test]
fn nonblocking_accept() {
    in_guest(|| assert_exact(&trace_load(&format!("{MANY} --accept nonblocking"))));
}

#[test]
fn epoll_accept_by_several_threads() {
    in_guest(|| assert_exact(&trace_load(&format!("{MANY} --accept epoll --threads 3"))));
}

#[test]
fn deferred_accept() {
    in_guest(|| assert_exact(&trace_load("--count 50 --defer-accept yes")));
}

/// A hook on the exit of the accept function never sees those who were
/// already asleep in it when the tracer came.
#[test]
fn threads_asleep_in_accept_before_the_tracer() {
    in_guest(|| asleep_before("blocking"));
}

#[test]
fn threads_asleep_in_epoll_before_the_tracer() {
    in_guest(|| asleep_before("epoll"));
}

fn asleep_before(accept: &str) {
    let arguments = format!("--count 100 --threads 8 --accept-before-start --accept {accept}");
    let load = Load::listening(PORT, &arguments);
    let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
    load.go();
    let truth = load.finish();
    let run = tracer.stop(LIMIT).unwrap();
    let summary = run.summary(PORT).unwrap();
    assert_eq!(truth.accepted, 100);
    assert_eq!((summary.enqueued, summary.accepted), (100, 100));
    assert_eq!(truth.kernel["PassiveOpens"], 100);
}
