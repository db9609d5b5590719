//! Warnings before the first refusal: `--until-use` and `--warn-use` with real queues, whose depth
//! the load or this test knows.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;

use backlog_tests::netns;
use backlog_tests::tracer::{self, Line, Run, Tracer};
use serde_json::Value;

use super::help::{LIMIT, Load, PORT, PORT_TEXT, await_depth, in_guest, in_guest_once, program};

/// A queue of 16 that nobody empties.
const FULLER: &str = "--backlog 16 --no-accept --connect nonblocking --connect-timeout 1s \
                      --hold-to-end";

/// The lines on a queue that is nearly full.
fn events(lines: &[Line]) -> Vec<&Value> {
    lines.iter().filter(|line| line.is("event")).map(|line| &line.raw).collect()
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap()
}

/// A listener of this test that nobody accepts from.
pub(super) fn listener(backlog: i32) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    // SAFETY: the call takes numbers only, and the socket is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), backlog) }, 0);
    listener
}

/// The namespace of this test, since on a machine in use others may have listeners at the port.
pub(super) fn own() -> String {
    netns::inode().unwrap().to_string()
}

/// A run with a load of its own.
fn around(options: &[&str], load: &str) -> Run {
    let load = format!("{} -q --port {PORT} {load} >&2", program("backlog-load").display());
    let own = own();
    let arguments = ["--port", PORT_TEXT, "--netns", &own, "--cmd", &load];
    tracer::run(&[&arguments, options].concat(), LIMIT).unwrap()
}

#[test]
fn until_use_ends_at_a_queue_that_is_nearly_full_with_status_1() {
    in_guest(|| {
        let load = Load::listening(PORT, &format!("{FULLER} --count 14"));
        let options = ["--port", PORT_TEXT, "--netns", &own(), "--until-use", "80%"];
        let tracer = Tracer::start(&options, LIMIT).unwrap();
        load.go();
        let run = tracer.wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        let events = events(&run.lines);
        let [event] = events.as_slice() else { panic!("{events:?}") };
        // 80 % of 16 is 12.8. An interval may end before the last client is queued.
        let depth = number(event, "depth");
        assert!((13..=14).contains(&depth), "{event}");
        assert_eq!((number(event, "limit"), number(event, "level")), (16, 80), "{event}");
        assert_eq!(event["event"], "high_use", "{event}");
        assert_eq!(number(event, "port"), u64::from(PORT), "{event}");
        assert!(event["peak_time"].as_str() <= event["time"].as_str(), "{event}");
        let summary = run.summary(PORT).unwrap();
        assert_eq!(summary.drops.total, 0, "{}", run.stderr);
        if depth == summary.peak.depth {
            assert_eq!(event["peak_time"].as_str(), summary.peak.time.as_deref(), "{event}");
        }
        let truth = load.finish();
        assert_eq!(truth.connects.succeeded, 14, "the load itself: {truth:?}");
    });
}

/// The queue is empty again when the interval ends, which is at the end of the run.
#[test]
fn a_peak_within_an_interval_is_not_missed_and_one_below_is_none() {
    in_guest(|| {
        let passing = "--backlog 16 --connect nonblocking --stall 1s --hold-to-end";
        for (clients, code) in [(12, 0), (13, 1)] {
            let load = format!("{passing} --count {clients}");
            let run = around(&["--until-use", "80", "600"], &load);
            assert_eq!(run.code(), Some(code), "{clients} clients: {}", run.stderr);
            let summary = run.summary(PORT).unwrap();
            assert_eq!(summary.peak.depth, clients, "the load itself");
            assert_eq!(summary.queued, 0, "the load itself");
            let found = events(&run.lines);
            let depths: Vec<u64> = found.iter().map(|one| number(one, "depth")).collect();
            let wanted = if code == 1 { vec![clients] } else { Vec::new() };
            assert_eq!(depths, wanted, "{clients} clients");
        }
    });
}

#[test]
fn a_queue_that_is_nearly_full_at_the_start_is_found() {
    in_guest_once(|| {
        let listener = listener(4);
        let _clients = [(); 3].map(|()| TcpStream::connect(("127.0.0.1", PORT)).unwrap());
        await_depth(&listener, 3);
        let options = ["--port", PORT_TEXT, "--netns", &own(), "--until-use", "75%", "600"];
        let run = tracer::run(&options, LIMIT).unwrap();
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        let events = events(&run.lines);
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((number(event, "depth"), number(event, "limit")), (3, 4), "{event}");
        assert!(event["peak_time"].is_string(), "{event}");
    });
}

/// A queue with a limit of zero holds one connection, and is then full.
#[test]
fn a_limit_of_zero_and_the_first_of_two_ends_are_handled() {
    in_guest_once(|| {
        let load = "--backlog 0 --no-accept --connect nonblocking --connect-timeout 1s --count 1";
        let run = around(&["--until-use", "100%"], load);
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        let found = events(&run.lines);
        let depths: Vec<_> =
            found.iter().map(|one| (number(one, "depth"), number(one, "limit"))).collect();
        assert_eq!(depths, [(1, 0)]);
        // Drops come first if no queue reaches the level, and show the use if one does.
        let overflow = "--backlog 2 --no-accept --connect nonblocking --connect-timeout 2s \
                        --count 8";
        let run = around(&["--until-drop", "--until-use", "1000%", "600"], overflow);
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        assert!(run.drops().count() >= 1 && events(&run.lines).is_empty(), "{}", run.stderr);
        let run = around(&["--until-use", "150%", "600"], overflow);
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        let found = events(&run.lines);
        assert_eq!(number(found.first().unwrap(), "depth"), 3, "{found:?}");
    });
}

/// The members of a group are separate queues; the run goes on, and reports each of them once.
#[test]
fn warn_use_names_each_member_of_a_group_and_goes_on() {
    in_guest_once(|| {
        let load = "--backlog 4 --reuseport --threads 2 --no-accept --connect nonblocking \
                    --connect-timeout 1s --count 40";
        let run = around(&["--warn-use", "100%"], load);
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let mut names: Vec<&str> =
            events(&run.lines).into_iter().map(|one| one["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().zip(["#1", "#2"]).all(|(name, end)| name.ends_with(end)), "{names:?}");
        let drops: u64 = run.summaries().map(|summary| summary.drops.total).sum();
        assert!(drops > 0, "the load itself: 40 clients fit into two queues of 5");
    });
}

#[test]
fn what_has_no_line_is_said_on_stderr() {
    in_guest_once(|| {
        let load = format!("{} -q --port {PORT} {FULLER}", program("backlog-load").display());
        let load = format!("{load} --count 14 >&2");
        let output = Command::new(tracer::path())
            .args(["--port", PORT_TEXT, "--netns", &own(), "--until-use", "80%", "-o", "csv"])
            .args(["--cmd", &load])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("--until-use: 127.0.0.1:8000: peak 1"), "{stderr}");
    });
}
