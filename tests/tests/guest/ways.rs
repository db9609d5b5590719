//! Accepts other than by 64-bit system calls: by `io_uring`, and by 32-bit programs. They are
//! counted, timed and attributed like others. A backend that does not see them reports this as a
//! gap, and only then.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::id;

use backlog_tests::load::Truth;
use backlog_tests::tracer::{Line, Run, Tracer};
use backlog_tests::{narrow, uring};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, stop};
use super::owners::absent;

const COUNT: u64 = 15;
/// Clients that connect while nobody accepts, and stay.
const STALLED: &str = "--count 15 --connect nonblocking --stall 300ms --hold-to-end";
/// The length of that stall.
const STALL_US: u64 = 300_000;
/// Clients that connect one by one, mostly while the server waits for them.
const ONE_BY_ONE: &str = "--count 15 --rate 100 --hold-to-end --accept-before-start";
/// The load takes timestamps in user space, the tool in the kernel.
const TOLERANCE_US: u64 = 5_000;

/// Does a run report a gap with these words?
fn has_gap(run: &Run, words: &[&str]) -> bool {
    let gaps = run.lines[0].raw["gaps"].as_array().unwrap();
    let fits = |gap: &Value| words.iter().all(|words| gap.as_str().unwrap().contains(words));
    gaps.iter().any(fits)
}

fn summary(run: &Run, port: u16) -> &Value {
    let is = |line: &&Line| line.is("summary") && line.raw["listener"]["port"] == port;
    &run.lines.iter().find(is).unwrap().raw
}

/// Is it available? If not, this prints a message.
fn is_here(name: &str, works: io::Result<()>) -> bool {
    works.map_err(|error| absent(name, &error.to_string())).is_ok()
}

/// The ways of `io_uring` that this kernel supports, as `backlog-load --accept` names them.
fn rings() -> Vec<&'static str> {
    let all = [
        ("uring", uring::Way::Single),
        ("uring-multishot", uring::Way::Multishot),
        ("uring-pool", uring::Way::Pool),
    ];
    all.into_iter()
        .filter(|(name, way)| is_here(name, uring::works(*way)))
        .map(|(n, _)| n)
        .collect()
}

/// The ways of 32-bit programs in the same form.
fn narrow() -> Vec<&'static str> {
    if is_here("32-bit calls", narrow::works()) {
        vec!["narrow", "narrow-socketcall"]
    } else {
        Vec::new()
    }
}

/// A run of the tool with a server.
struct Served {
    run: Run,
    pid: u32,
    truth: Truth,
}

fn served(how: &str, load: &str) -> Served {
    let tracer = Tracer::start(&["-q", "-P", PORT_TEXT], LIMIT).unwrap();
    let load = Load::listening(PORT, &format!("--accept {how} --each-wait {load}"));
    let pid = load.id();
    load.go();
    let truth = load.finish();
    Served { run: stop(tracer), pid, truth }
}

impl Served {
    /// Asserts that all accepts of the server are counted, and that none of the connections is
    /// left.
    fn assert_counted(&self, name: &str) -> &Value {
        let summary = summary(&self.run, PORT);
        assert_eq!(self.truth.accepted, COUNT, "{name}: the load itself");
        for counted in ["enqueued", "accepted"] {
            assert_eq!(summary[counted], COUNT, "{name}: {counted}: {summary}");
        }
        assert_eq!(summary["queued"], 0, "{name}: {summary}");
        summary
    }

    /// Asserts that each has its wait, and that all are attributed to the server's process.
    fn assert_like_others(&self, name: &str) {
        let summary = self.assert_counted(name);
        let waits: u64 = buckets(summary);
        assert_eq!(waits, COUNT, "{name}: waits: {summary}");
        let (told, truth) = (summary["wait_us"]["max"].as_u64().unwrap(), self.truth.waits_us);
        // The load takes its timestamp when it runs again, which may be any time after the accept,
        // so it only has an upper bound of a wait. The waits caused by the stall are long, and
        // cannot be missed.
        assert!(
            told <= truth.max_at_most + TOLERANCE_US,
            "{name}: the tool says {told} us, the load at most {} us",
            truth.max_at_most,
        );
        if name.contains("--stall") {
            assert!(told >= STALL_US / 2, "{name}: the tool says {told} us of a stall");
        }
        let accepts = &summary["accepts"];
        let workers = accepts["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 1, "{name}: {accepts}");
        assert_eq!(workers[0]["process"]["pid"], self.pid, "{name}: {accepts}");
        assert_eq!(workers[0]["process"]["comm"], "backlog-load", "{name}: {accepts}");
        assert_eq!(workers[0]["accepts"], COUNT, "{name}: {accepts}");
        let unknown = (&accepts["other"], &accepts["not_seen"]);
        assert_eq!(unknown, (&0.into(), &0.into()), "{name}: {accepts}");
        assert_eq!(summary["last_accept"]["pid"], self.pid, "{name}: {summary}");
    }

    /// Asserts that they are counted when they end, and have no details.
    fn assert_seen_at_the_end(&self, name: &str) {
        let summary = self.assert_counted(name);
        assert_eq!(buckets(summary), 0, "{name}: {summary}");
        let accepts = &summary["accepts"];
        assert_eq!(accepts["workers"], Value::Array(Vec::new()), "{name}: {accepts}");
        assert_eq!(accepts["not_seen"], COUNT, "{name}: {accepts}");
    }
}

/// The number of waits in the distribution.
fn buckets(summary: &Value) -> u64 {
    let buckets = summary["wait_us"]["buckets"].as_array().unwrap();
    buckets.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum()
}

#[test]
fn accepts_by_io_uring_are_like_others() {
    in_guest(|| {
        for how in rings() {
            for load in [STALLED, ONE_BY_ONE] {
                let served = served(how, load);
                let gap = has_gap(&served.run, &["an accept by io_uring is"]);
                assert!(!gap, "io_uring works here, but is a gap");
                served.assert_like_others(&format!("{how} {load}"));
            }
        }
    });
}

#[test]
fn accepts_of_32_bit_programs_are_like_others_or_a_gap() {
    in_guest(|| {
        for how in narrow() {
            for load in [STALLED, ONE_BY_ONE] {
                let served = served(how, load);
                let name = format!("{how} {load}");
                if has_gap(&served.run, &["an accept by a 32-bit program"]) {
                    served.assert_seen_at_the_end(&name);
                } else {
                    served.assert_like_others(&name);
                }
            }
        }
    });
}

/// Connections without a descriptor: tracepoints only show their end.
#[test]
fn accepts_into_registered_files_are_like_others_or_a_gap() {
    in_guest(|| {
        if !is_here("io_uring", uring::works(uring::Way::Single)) {
            return;
        }
        let mut registered = uring::Registered::new().unwrap();
        let tracer = Tracer::start(&["-q", "-P", PORT_TEXT], LIMIT).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        for _ in 0..3 {
            let client = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
            registered.accept_and_close(&listener).unwrap();
            drop(client);
        }
        let run = stop(tracer);
        let summary = summary(&run, PORT);
        assert_eq!((&summary["enqueued"], &summary["accepted"]), (&3.into(), &3.into()));
        let accepts = &summary["accepts"];
        if has_gap(&run, &["by io_uring into a registered file"]) {
            assert_eq!((buckets(summary), &accepts["not_seen"]), (0, &3.into()), "{summary}");
        } else {
            assert_eq!((buckets(summary), &accepts["not_seen"]), (3, &0.into()), "{summary}");
            assert_eq!(accepts["workers"][0]["process"]["pid"], id(), "{summary}");
        }
    });
}

/// The requested backlog is known for a 32-bit program, and reported as unknown for `io_uring`.
#[test]
fn what_listen_asks_for_is_known_or_said_to_be_unknown() {
    in_guest(|| {
        for how in narrow() {
            let Served { run, pid, .. } = served(how, "--backlog 7 --count 15 --relisten 9");
            let opened = run.listeners(PORT).next().unwrap();
            assert_eq!((opened.asked, opened.limit), (Some(7), 7), "{how}");
            let calls = run.limits(opened).unwrap();
            assert_eq!(calls.len(), 1, "{how}: {calls:?}");
            let unseen = has_gap(&run, &["an accept by a 32-bit program", "listen()"]);
            let caller = calls[0].process.as_ref().map(|process| process.pid);
            let expected = if unseen { (9, None, None) } else { (9, Some(9), Some(pid)) };
            assert_eq!((calls[0].limit, calls[0].asked, caller), expected, "{how}");
            let at_end = &summary(&run, PORT)["listener"];
            let asked = if unseen { Value::Null } else { 9.into() };
            assert_eq!((&at_end["limit"], &at_end["asked"]), (&9.into(), &asked), "{how}");
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], PORT)).into()).unwrap();
        let mut tracer = Tracer::start(&["-q", "-P", PORT_TEXT], LIMIT).unwrap();
        match uring::listen(&socket, 7) {
            Ok(()) => {
                let told = |lines: &[Line]| lines.iter().any(|line| line.is("listener"));
                tracer.wait_for("the listener", LIMIT, told).unwrap();
                let run = stop(tracer);
                let opened = run.listeners(PORT).next().unwrap();
                assert_eq!((opened.asked, opened.limit), (None, 7));
            }
            Err(error) => {
                absent("listen() by io_uring", &format!("{error} (before 6.11)"));
                stop(tracer);
            }
        }
    });
}

/// Every way fails with EMFILE, and is reported; if that is not visible, it is a gap.
#[test]
fn failures_are_named_or_a_gap() {
    in_guest(|| {
        let ways: Vec<&str> = rings().into_iter().chain(narrow()).collect();
        // The pool's threads share the table of descriptors that the process had before.
        let ways: Vec<&str> = ways.into_iter().filter(|how| *how != "uring-pool").collect();
        for how in ways {
            let range = format!("{PORT}-{}", PORT + 1);
            let mut tracer = Tracer::start(&["-q", "-P", &range], LIMIT).unwrap();
            let exhausted = |port, how: &str| {
                let load = format!("--accept {how} --count 3 --exhaust-after 1 --settle 100s");
                let load = Load::listening(port, &load);
                load.go();
                load
            };
            let odd = exhausted(PORT, how);
            let plain = exhausted(PORT + 1, "blocking");
            let failed = |lines: &[Line], pid: u32| -> u64 {
                let lines = lines.iter().filter(|line| line.is("accept_errors"));
                let errors = lines.flat_map(|line| line.raw["errors"].as_array().unwrap());
                let its = errors.filter(|one| one["process"]["pid"] == pid);
                its.map(|one| {
                    assert_eq!(one["name"], "EMFILE", "{how}: {one}");
                    one["count"].as_u64().unwrap()
                })
                .sum()
            };
            let meta = tracer.lines().unwrap().swap_remove(0);
            let gaps = meta.raw["gaps"].to_string();
            let unknown = how.starts_with("uring")
                && gaps.contains("errors of accepts by io_uring are unknown");
            // Both call again and again, every tenth of a second.
            tracer
                .wait_for(&format!("EMFILE of {how}"), LIMIT, |lines| {
                    failed(lines, plain.id()) >= 10 && (unknown || failed(lines, odd.id()) >= 10)
                })
                .unwrap();
            let lines = tracer.lines().unwrap();
            if unknown {
                assert_eq!(failed(&lines, odd.id()), 0, "{how}: it is known, but a gap");
            }
            drop((odd, plain));
            stop(tracer);
        }
    });
}
