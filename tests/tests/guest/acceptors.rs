//! Which processes accept, and why a call of `accept()` fails, with each backend.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::id;
use std::thread;

use backlog_tests::tracer::{Line, Tracer};
use serde_json::Value;

use super::help::{LIMIT, PORT, PORT_TEXT, in_guest, stop};

/// Kills a child of this test on drop.
struct Child(libc::pid_t);

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: a child of this process that nobody else waits for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn accepts_are_told_by_thread() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let tracer = Tracer::start(&["-q", "-P", PORT_TEXT], LIMIT).unwrap();
        let mut expected = Vec::new();
        for count in [7, 4] {
            let clients: Vec<TcpStream> =
                (0..count).map(|_| TcpStream::connect(("127.0.0.1", PORT)).unwrap()).collect();
            let listener = listener.try_clone().unwrap();
            let worker = thread::spawn(move || {
                for _ in 0..count {
                    listener.accept().unwrap();
                }
                // SAFETY: it has no preconditions.
                unsafe { libc::gettid() }
            });
            expected.push((i64::from(worker.join().unwrap()), count));
            drop(clients);
        }
        let run = stop(tracer);
        let summary = run.lines.iter().find(|line| line.raw["type"] == "summary").unwrap();
        let accepts = &summary.raw["accepts"];
        let workers = accepts["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 1, "{accepts}");
        assert_eq!(workers[0]["process"]["pid"], id(), "{accepts}");
        let threads = workers[0]["threads"].as_array().unwrap();
        let number = |value: &Value| value.as_i64().unwrap();
        let seen: Vec<_> =
            threads.iter().map(|one| (number(&one["tid"]), number(&one["accepts"]))).collect();
        assert_eq!(seen, expected, "{accepts}");
        assert_eq!((&accepts["other"], &accepts["not_seen"]), (&0.into(), &0.into()));
    });
}

#[test]
fn a_process_out_of_descriptors_is_named() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let mut tracer = Tracer::start(&["-q", "-P", PORT_TEXT], LIMIT).unwrap();
        let descriptor = listener.as_raw_fd();
        // SAFETY: the child only makes system calls, until it is killed.
        let child = Child(unsafe { libc::fork() });
        if child.0 == 0 {
            fail_to_accept(descriptor);
        }
        let _client = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
        let is_it = |error: &Value| error["name"] == "EMFILE" && error["process"]["pid"] == child.0;
        let names_it = |line: &Line| {
            let errors = line.raw["errors"].as_array();
            line.raw["type"] == "accept_errors" && errors.is_some_and(|all| all.iter().any(is_it))
        };
        tracer.wait_for("EMFILE", LIMIT, |lines| lines.iter().any(names_it)).unwrap();
        let run = stop(tracer);
        let summary = run.lines.iter().find(|line| line.raw["type"] == "summary").unwrap();
        let text = summary.raw["accept_errors"]["text"].as_str().unwrap();
        assert!(text.contains("is out of file descriptors"), "{text}");
    });
}

/// Nobody accepts, and nobody is refused: the state of the process that should accept is still
/// reported, once, and no line claims that no call has failed.
#[test]
fn a_stall_without_drops_is_looked_at() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let mut tracer = Tracer::start(&["-P", PORT_TEXT], LIMIT).unwrap();
        let _client = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
        let is_told = |line: &Line| line.is("acceptor") && line.raw["occasion"] == "idle";
        tracer.wait_for("the look", LIMIT, |lines| lines.iter().any(is_told)).unwrap();
        // Enough intervals for another inspection, if there were one.
        let two_more = |lines: &[Line]| {
            let told = lines.iter().position(is_told).unwrap();
            lines[told..].iter().filter(|line| line.is("interval")).count() > 2
        };
        tracer.wait_for("two intervals", LIMIT, two_more).unwrap();
        let run = stop(tracer);
        let looks: Vec<&Line> = run.lines.iter().filter(|line| line.is("acceptor")).collect();
        assert_eq!(looks.len(), 1, "{looks:?}");
        let look = &looks[0].raw;
        assert_eq!((&look["process"]["pid"], &look["gone"]), (&id().into(), &false.into()));
        assert!(look["text"].as_str().unwrap().contains("no accept was seen until then"));
        let summary = run.lines.iter().find(|line| line.is("summary")).unwrap();
        assert_eq!(summary.raw["idle"]["text"], look["text"]);
        assert!(run.lines.iter().all(|line| !line.is("accept_errors")), "no call has failed");
        drop(listener);
    });
}

/// A server that keeps its connections until no descriptor is left.
fn fail_to_accept(listener: libc::c_int) -> ! {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // SAFETY: system calls with memory of this function's own.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none);
        loop {
            libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), 0);
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
        }
    }
}
