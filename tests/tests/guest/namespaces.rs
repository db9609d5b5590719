//! Network namespaces: older than the run, created while it begins, created and ended within it,
//! with a reused inode number, and inaccessible. Each is reconciled with its own counters, and
//! events from before the run never count.

mod churn;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Error, Write as _, stderr};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use backlog_tests::clock::wait_until;
use backlog_tests::counters::Counters;
use backlog_tests::inodes::{self, LowerNumbers};
use backlog_tests::netns::{self, Resident};
use backlog_tests::tracer::{self, Line, Run, Tracer};
use serde_json::Value;

use super::blind::{self, assert_close};
use super::help::{LIMIT, await_depth, in_guest, stop};

/// A port that no other test uses, since the tool sees every namespace of the machine.
const PORT: u16 = 8077;
const PORT_TEXT: &str = "8077";
/// Long enough to send a SYN; the refused client does not wait for its retry.
const CONNECT: Duration = Duration::from_millis(20);
/// The number of short-lived namespaces; every tenth stays until it is compared.
const COME_AND_GO: u64 = 100;
const STAYS: u64 = 10;
/// The maximum number of namespaces to create until one reuses the inode number of an earlier one:
/// the kernel frees a number shortly after the namespace has ended.
const MOST_TRIES: usize = 100;
/// The maximum number of runs in which a particular number may be reused, and of namespaces that
/// may get it in each.
const MOST_RUNS: usize = 5;
const FOLLOWERS: usize = 20;

/// What is known of a namespace without the tool.
#[derive(Clone, Copy, Debug)]
struct Truth {
    /// The inode numbers of the namespace and of its listener's socket.
    netns: u64,
    socket: u64,
    /// `ListenOverflows` in this namespace, as counted by the kernel.
    overflows: u64,
}

/// A listener with room for one connection, and that connection.
struct Full {
    listener: TcpListener,
    _queued: TcpStream,
}

impl Full {
    fn listen() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        // SAFETY: the socket is open; a second call changes the backlog alone.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let queued = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        await_depth(&listener, 1);
        Self { listener, _queued: queued }
    }

    /// Causes this many refused clients, and waits until the kernel has counted each: on a busy
    /// machine, ksoftirqd may handle a SYN after its client has given up.
    fn refuse(&self, count: u64) {
        let address: SocketAddr = self.listener.local_addr().unwrap();
        for _ in 0..count {
            let before = overflows();
            assert!(TcpStream::connect_timeout(&address, CONNECT).is_err(), "the load itself");
            wait_until("the refused SYN", LIMIT, || Ok(overflows() > before)).unwrap();
        }
    }

    /// What the kernel has counted in this thread's namespace so far.
    fn truth(&self) -> Truth {
        let copy: OwnedFd = self.listener.try_clone().unwrap().into();
        Truth {
            netns: netns::inode().unwrap(),
            socket: File::from(copy).metadata().unwrap().st_ino(),
            overflows: overflows(),
        }
    }
}

fn overflows() -> u64 {
    Counters::read().unwrap().get("ListenOverflows")
}

/// Makes connections that are all accepted, on each of two CPUs.
fn serve() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    for number in 0..8 {
        move_to(number % 2);
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        listener.accept().unwrap();
    }
}

fn move_to(cpu: usize) {
    // SAFETY: an all-zero set is a valid empty one, of a local; zero is this thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Waits until the tool has reconciled a namespace, in a line after this many others, and agrees
/// with the kernel.
fn wait_for_comparison(tracer: &mut Tracer, behind: usize, truth: Truth) {
    let expected = Some((truth.overflows, truth.overflows));
    let is_told = |line: &Line| line.raw["netns"] == truth.netns && counted(line) == expected;
    let told = |lines: &[Line]| lines.iter().skip(behind).any(is_told);
    let waited = tracer.wait_for("the comparison", LIMIT, told);
    let lines = tracer.lines().unwrap();
    let since = lines.iter().skip(behind).filter(|line| line.raw["netns"] == truth.netns);
    let since: Vec<String> = since.map(|line| line.raw.to_string()).collect();
    assert!(waited.is_ok(), "{waited:?}: {truth:?}: {}", since.join("\n"));
}

/// `ListenOverflows` in a line `namespace`: the kernel's value and the tool's.
fn counted(line: &Line) -> Option<(u64, u64)> {
    let counter = line.is("namespace").then(|| &line.raw["reconciled"]["ListenOverflows"])?;
    Some((counter["kernel"].as_u64()?, counter["seen"].as_u64()?))
}

fn end(run: &Run) -> &Value {
    &run.lines.iter().find(|line| line.is("end")).unwrap().raw
}

/// The refusals seen at a socket; None if it was not seen at all.
fn seen_at(run: &Run, socket: u64) -> Option<u64> {
    let mut summaries = run.summaries();
    Some(summaries.find(|one| one.listener.inode == socket)?.drops.total)
}

/// Asserts that no comparison differs, at any time or at the end.
fn assert_no_difference(run: &Run) {
    for line in &run.lines {
        if let Some((kernel, seen)) = counted(line) {
            assert_close(seen, kernel, &format!("compared: {}", line.raw));
        }
    }
    let different = end(run)["namespaces_ended"]["different"].as_u64().unwrap();
    assert!(different == 0 || blind::slack() > 0, "{:?}", end(run)["namespaces_ended"]);
}

#[test]
fn old_refusals_of_a_namespace_without_sockets_are_no_drops() {
    in_guest(|| {
        Full::listen().refuse(12);
        assert!(overflows() >= 12, "the load itself");
        let own = netns::inode().unwrap().to_string();
        let tracer = Tracer::start(&["-P", PORT_TEXT, "--netns", &own, "--until-drop", "1"], LIMIT);
        let tracer = tracer.unwrap();
        serve();
        // With a drop, it would have ended by itself, with another status.
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.drops.total, summary.enqueued), (0, 8));
        assert_no_difference(&run);
        let compared = run.lines.iter().rev().find_map(counted);
        assert_eq!(compared, Some((0, 0)), "{:?}", run.lines);
    });
}

#[test]
fn what_cannot_be_entered_has_no_old_refusals_either_and_is_not_compared() {
    in_guest(|| {
        if blind::backend() == "kprobe" {
            let _ = writeln!(stderr(), "absent: kprobes are not attached without this right");
            return;
        }
        let (ready, go, over) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(move || {
                let inside = move || {
                    let _resident = Resident::settle().unwrap();
                    Full::listen().refuse(12);
                    ready.0.send(netns::inode().unwrap()).unwrap();
                    go.1.recv().unwrap();
                    serve();
                    over.0.send(()).unwrap();
                };
                netns::fresh(inside).unwrap();
            });
            let shut = ready.1.recv().unwrap();
            let mut command = tracer::command();
            command.args(["-P", PORT_TEXT]);
            // SAFETY: prctl takes numbers, and is safe to call between fork and exec.
            unsafe {
                command.pre_exec(|| match libc::prctl(libc::PR_CAPBSET_DROP, 21, 0, 0, 0) {
                    0 => Ok(()),
                    _ => Err(Error::last_os_error()),
                });
            }
            let mut tracer = Tracer::spawn(&mut command).unwrap();
            let begun = |lines: &[Line]| lines.iter().any(|line| line.is("meta"));
            tracer.wait_for("the meta line", LIMIT, begun).unwrap();
            go.0.send(()).unwrap();
            over.1.recv().unwrap();
            let run = stop(tracer);
            let summary = run.summary(PORT).unwrap();
            assert_eq!((summary.drops.total, summary.enqueued), (0, 8), "{:?}", run.lines);
            assert!(run.stderr.contains("not inspected"), "{}", run.stderr);
            let compared = run.lines.iter().filter(|line| counted(line).is_some());
            let compared: Vec<_> = compared.filter(|line| line.raw["netns"] == shut).collect();
            assert!(compared.is_empty(), "{compared:?}");
        });
    });
}

/// Each namespace exists until it is compared; then the next one gets its inode number.
#[test]
fn two_that_follow_each_other_under_one_inode_number_are_two() {
    in_guest(|| {
        let mut tracer = Tracer::start(&["0.2", "-P", PORT_TEXT], LIMIT).unwrap();
        let mut truths: Vec<Truth> = Vec::new();
        let shared = |truths: &[Truth]| {
            let inodes: BTreeSet<u64> = truths.iter().map(|truth| truth.netns).collect();
            inodes.len() < truths.len()
        };
        while !shared(&truths) {
            assert!(truths.len() < MOST_TRIES, "no inode number was reused: {truths:?}");
            let count = 2 + truths.len() as u64 % 5;
            let work = || {
                let _resident = Resident::settle().unwrap();
                let behind = tracer.lines().unwrap().len();
                let full = Full::listen();
                full.refuse(count);
                let truth = full.truth();
                assert_eq!(truth.overflows, count, "the load itself");
                wait_for_comparison(&mut tracer, behind, truth);
                truth
            };
            truths.push(netns::fresh(work).unwrap());
        }
        let run = stop(tracer);
        for truth in &truths {
            let seen = seen_at(&run, truth.socket);
            assert_close(seen.unwrap_or(0), truth.overflows, &format!("{truth:?}"));
        }
        assert_no_difference(&run);
        let ended = &end(&run)["namespaces_ended"];
        assert_eq!(ended["equal"], truths.len(), "{ended}");
    });
}

#[test]
fn a_namespace_that_gets_the_number_of_the_one_asked_for_is_another() {
    in_guest(|| {
        let came_back = (0..MOST_RUNS).any(|_| number_comes_back());
        assert!(came_back, "its inode number was not reused in {MOST_RUNS} runs");
    });
}

/// Runs the tool with `--netns` for a namespace that ends, and creates others until one gets its
/// number. Returns false if none does, since anything else on the machine may take it.
fn number_comes_back() -> bool {
    let mut lower = LowerNumbers::default();
    let make = || (Resident::settle().unwrap(), netns::inode().unwrap().to_string());
    let first = inodes::lowest_free().unwrap();
    let (resident, inode) = netns::fresh(make).unwrap();
    let mut tracer = Tracer::start(&["0.2", "-P", PORT_TEXT, "--netns", &inode], LIMIT).unwrap();
    let refused = || {
        let full = Full::listen();
        full.refuse(3);
        let truth = full.truth();
        wait_for_comparison(&mut tracer, 0, truth);
        truth
    };
    let asked = netns::within(resident.id(), refused).unwrap();
    drop(resident);
    let mut others = Vec::new();
    while others.last().is_none_or(|last: &Truth| last.netns != asked.netns) {
        if others.len() >= FOLLOWERS || lower.fill(first, LIMIT).is_err() {
            stop(tracer);
            return false;
        }
        let work = || {
            let full = Full::listen();
            full.refuse(2);
            full.truth()
        };
        others.push(netns::fresh(work).unwrap());
    }
    let run = stop(tracer);
    assert_eq!(seen_at(&run, asked.socket), Some(3), "{:?}", run.lines);
    for other in &others {
        assert_eq!(seen_at(&run, other.socket), None, "{other:?}: {:?}", run.lines);
    }
    assert!(run.stderr.contains("--netns: this network namespace has ended"), "{}", run.stderr);
    assert_no_difference(&run);
    true
}
