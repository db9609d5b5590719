//! Filters by process, network namespace and cgroup: filtered events must not appear, and matching
//! ones must be complete. Also tests a clamped backlog.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;

use backlog_tests::cgroup::Cgroup;
use backlog_tests::netns;
use backlog_tests::servers::{Plan, Server, answers};
use backlog_tests::sysctl::Sysctl;
use backlog_tests::tracer::{Line, Run, Tracer};

use super::help::{LIMIT, Load, PORT, in_guest, stop};
use super::owners::{absent, with_servers};

/// The port next to the traced one.
const OTHER: u16 = PORT + 1;

/// A server that accepts everything, and one whose queue overflows.
const LOADS: [&str; 2] = [
    "--count 60 --backlog 128",
    "--count 22 --backlog 16 --rate 200 --no-accept --hold-to-end --connect nonblocking \
     --connect-timeout 1600ms",
];

/// Asserts that no other port appears.
fn assert_alone(run: &Run, port: u16) {
    assert!(run.summaries().all(|one| one.listener.port == port), "{:?}", run.lines);
    for other in [PORT, OTHER].into_iter().filter(|other| *other != port) {
        assert_eq!(run.listeners(other).count(), 0, "{:?}", run.lines);
    }
}

/// Checks two loads at the same port, of which only `chosen` passes the filter.
fn assert_whole(arguments: &[&str], load: &str, chosen: Load, other: Load) {
    let tracer = Tracer::start(arguments, LIMIT).unwrap();
    chosen.go();
    other.go();
    let truth = chosen.finish();
    other.finish();
    let run = stop(tracer);
    assert_alone(&run, PORT);
    let summary = run.summary(PORT).unwrap();
    let came = truth.accepted + truth.left_in_queue;
    assert_eq!((summary.enqueued, summary.accepted), (came, truth.accepted), "{load}");
    assert_eq!(summary.drops.total > 0, load == LOADS[1], "{load}: {:?}", summary.drops);
    // The kernel also counts the drops of the other one, which must not be taken for ours.
    if let Some(own) = summary.reconciled.get("sk_drops") {
        assert_eq!(own.kernel, own.seen, "{load}");
    }
}

#[test]
fn a_process_is_shown_what_it_holds() {
    in_guest(|| {
        for load in LOADS {
            let [chosen, other] = [PORT, OTHER].map(|port| Load::listening(port, load));
            let pid = chosen.id().to_string();
            assert_whole(&["--pid", &pid], load, chosen, other);
        }
    });
}

#[test]
fn what_a_process_opens_later_is_its_own() {
    in_guest(|| {
        let other = Load::listening(OTHER, LOADS[0]);
        let tracer = Tracer::start(&["--pid", &std::process::id().to_string()], LIMIT).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        for _ in 0..5 {
            let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
            listener.accept().unwrap();
        }
        other.go();
        other.finish();
        let run = stop(tracer);
        assert_alone(&run, PORT);
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted), (5, 5));
        let process = summary.listener.process.as_ref().unwrap();
        assert_eq!(process.pid, std::process::id());
    });
}

#[test]
fn a_namespace_is_told_from_another_with_the_same_port() {
    in_guest(|| {
        for load in LOADS {
            let other = Load::listening(PORT, load);
            let start = || (Load::listening(PORT, load), netns::inode().unwrap());
            let (chosen, inode) = netns::fresh(start).unwrap();
            let inode = inode.to_string();
            assert_whole(&["--netns", &inode, "--port", "8000"], load, chosen, other);
        }
    });
}

#[test]
fn a_cgroup_holds_those_below_it() {
    with_servers(|root| {
        let slice = format!("backlog{}.slice", std::process::id());
        let cgroup = match Cgroup::make(&[&slice, "backlog-web.service"]) {
            Ok(cgroup) => cgroup,
            Err(error) => return absent("a cgroup of its own", &format!("{error:#}")),
        };
        let inside = Server::start_in(root, &Plan::http_server(PORT), Some(&cgroup)).unwrap();
        let outside = Server::start(root, &Plan::http_server(OTHER)).unwrap();
        let above = Path::new(&cgroup.path).parent().unwrap().to_string_lossy().into_owned();
        for path in [cgroup.path.as_str(), &above] {
            let tracer = Tracer::start(&["--cgroup", path], LIMIT).unwrap();
            for port in [PORT, OTHER, PORT] {
                answers(port).unwrap();
            }
            let run = stop(tracer);
            assert_alone(&run, PORT);
            let summary = run.summary(PORT).unwrap();
            assert_eq!((summary.enqueued, summary.accepted), (2, 2), "{path}");
        }
        inside.stop().unwrap();
        outside.stop().unwrap();
    });
}

/// A second `listen()` requests more than the namespace permits.
#[test]
fn a_backlog_that_is_cut_is_told_at_once() {
    in_guest(|| {
        let _cut = Sysctl::set("net.core.somaxconn", "8").unwrap();
        let mut tracer = Tracer::start(&["--port", "8000"], LIMIT).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        for asked in [2048, -1, 5] {
            // SAFETY: the descriptor is open; the call takes numbers only.
            assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), asked) }, 0);
        }
        let all = |lines: &[Line]| lines.iter().filter(|line| line.is("limit")).count() >= 3;
        tracer.wait_for("three calls of listen()", LIMIT, all).unwrap();
        let run = stop(tracer);
        let first = run.listeners(PORT).next().unwrap();
        let calls: Vec<_> = run
            .lines
            .iter()
            .filter(|line| line.is("limit"))
            .map(|line| {
                let field = |name: &str| line.raw[name].as_i64();
                (field("asked"), field("limit"), line.raw["clamped"].as_bool())
            })
            .collect();
        assert_eq!((first.limit, first.somaxconn), (8, Some(8)));
        let cut = Some(true);
        let expected =
            [(Some(2048), Some(8), cut), (Some(-1), Some(8), cut), (Some(5), Some(5), Some(false))];
        assert_eq!(calls, expected, "{:?}", run.lines);
    });
}
