//! Shared by the truth tests: the condition to run at all, one at a time and each in a new network
//! namespace; a batch of loads during one run of the tool, or a load that listens before it; and
//! the final comparisons.

use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use backlog_tests::clock::wait_until;
use backlog_tests::counters::{Changes, Counters};
use backlog_tests::handshake::wait_for_file;
use backlog_tests::tracer::{self, DropLine, Reconciled, Run, Summary, Tracer};
use backlog_tests::{load, netns, packets, proc, socket};
use serde::de::DeserializeOwned;

use super::blind::{self, assert_close, assert_count, assert_seen};

/// The port of a test, or the first of its ports.
pub(crate) const PORT: u16 = 8000;
/// The same port as an argument.
pub(crate) const PORT_TEXT: &str = "8000";
/// The time limit of any single step; an emulated guest is slow.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// After this time the progress of a test is printed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs `test` in a new network namespace, if this is a guest.
pub(crate) fn in_guest(test: impl FnOnce() + Send) {
    // One at a time: there are two CPUs, and some tests inspect the whole kernel.
    static ALONE: Mutex<()> = Mutex::new(());
    if env::var_os("BACKLOG_GUEST").is_none() {
        println!("not in a guest: run `cargo xtask test`");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    let (_running, ended) = mpsc::channel::<()>();
    let watched = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        while ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let seconds = start.elapsed().as_secs();
            let _ =
                writeln!(stderr(), "{watched} still runs after {seconds} s: {}", proc::waiting());
        }
    });
    let done = catch_unwind(AssertUnwindSafe(|| netns::fresh(test).unwrap()));
    // libtest prints no times. It captures what a test prints, but not what is written to stderr
    // directly.
    let thread = thread::current();
    let (name, seconds) = (thread.name().unwrap_or("a test"), start.elapsed().as_secs_f64());
    let _ = writeln!(stderr(), "{seconds:6.1} s  {name}");
    done.unwrap_or_else(|panic| resume_unwind(panic));
}

/// The same for a test of userspace alone, whose result depends neither on the kernel nor on the
/// backend. If a native run has covered it, no guest repeats it; otherwise, only guests with the
/// first backend run it. The line does not name the test, since libtest does.
pub(crate) fn in_guest_once(test: impl FnOnce() + Send) {
    let options = env::var("BACKLOG_TRACE_OPTIONS").unwrap_or_default();
    let elsewhere = if is_native() {
        None
    } else if env::var_os("BACKLOG_TESTED_NATIVELY").is_some() {
        Some("natively")
    } else if options.contains("--backend") && !options.contains("fentry") {
        Some("with fentry")
    } else {
        None
    };
    match elsewhere {
        Some(place) => {
            let _ = writeln!(stderr(), "absent: what is of userspace alone: tested {place}");
        }
        None => in_guest(test),
    }
}

/// Is this a machine in use instead of a guest?
pub(crate) fn is_native() -> bool {
    env::var_os("BACKLOG_NATIVE").is_some()
}

/// The path of one of our programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = env::var_os("BACKLOG_BIN").unwrap_or_else(|| "/bin".into());
    Path::new(&folder).join(name)
}

/// A path that no other test uses.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir();
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("backlog-{}-{number}-{name}", id()))
}

/// Reads the truth that a program wrote to this file.
pub(crate) fn read_truth<T: DeserializeOwned>(file: &Path) -> T {
    let text = fs::read_to_string(file).unwrap();
    let _ = fs::remove_file(file);
    serde_json::from_str(&text).unwrap()
}

/// One of our programs in a batch: its name in error messages, and its arguments.
pub(crate) type Variant<'a> = (&'a str, String);

/// A run of the tool with several programs, one after the other, each on a port of its own:
/// starting the tool takes longer than most loads.
pub(crate) struct Batch<T> {
    pub(crate) run: Run,
    /// The changes of the kernel's counters in this test's own namespace.
    pub(crate) kernel: Changes,
    pub(crate) parts: Vec<Part<T>>,
}

/// What one program did, and what the tool reports on it.
pub(crate) struct Part<T> {
    pub(crate) name: String,
    pub(crate) truth: T,
    /// The summaries of everything that listened on its port.
    pub(crate) summaries: Vec<Summary>,
    /// Their drop lines.
    pub(crate) drops: Vec<DropLine>,
    /// The number of events in the whole run that the programs may have missed, as the tool reports
    /// it.
    pub(crate) missed: u64,
}

impl<T> Part<T> {
    /// The summary of the only listener.
    pub(crate) fn summary(&self) -> &Summary {
        assert_eq!(self.summaries.len(), 1, "{}: listeners with a summary", self.name);
        &self.summaries[0]
    }
}

/// A counter of a truth or a batch.
pub(crate) fn counter(kernel: &Changes, name: &str) -> u64 {
    kernel.get(name).copied().unwrap_or(0)
}

/// Runs `backlog-trace --port 8000-... --cmd 'PROGRAM --port 8000 ... && ...'`.
pub(crate) fn trace<T: DeserializeOwned>(program: &Path, variants: &[Variant<'_>]) -> Batch<T> {
    trace_as(program, variants, |commands| commands.join(" && "))
}

/// The same with a shell command line that `joined` builds from the commands; it must run each of
/// them and fail if one fails.
pub(crate) fn trace_as<T: DeserializeOwned>(
    program: &Path,
    variants: &[Variant<'_>],
    joined: impl FnOnce(&[String]) -> String,
) -> Batch<T> {
    let last = PORT + u16::try_from(variants.len()).unwrap() - 1;
    let outs: Vec<PathBuf> = variants.iter().map(|_| scratch("truth.json")).collect();
    let commands: Vec<String> = (PORT..=last)
        .zip(variants.iter().zip(&outs))
        .map(|(port, ((_, arguments), out))| {
            let (program, out) = (program.display(), out.display());
            // 3 means that this kernel cannot do it; the truth says why.
            format!("{{ {program} --port {port} --out {out} {arguments} || [ $? -eq 3 ]; }}")
        })
        .collect();
    let arguments = ["--port", &format!("{PORT}-{last}"), "--cmd", &joined(&commands)];
    let before = Counters::read().unwrap();
    let each = Duration::from_secs(30) * u32::try_from(variants.len()).unwrap();
    let run = tracer::run(&arguments, LIMIT + each).unwrap();
    let kernel = Counters::read().unwrap().change_since(&before);
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let parts = (PORT..=last)
        .zip(variants.iter().zip(&outs))
        .map(|(port, ((name, _), out))| {
            assert!(out.exists(), "{name}: it or one before it failed: {}", run.stderr);
            part(name, &run, port, read_truth(out))
        })
        .collect();
    // A program that fails at its very end has already written its truth.
    assert!(!run.stderr.contains("--cmd ended"), "a program failed: {}", run.stderr);
    Batch { run, kernel, parts }
}

/// What a run of the tool reports on everything that listened on a port.
pub(crate) fn part<T>(name: &str, run: &Run, port: u16, truth: T) -> Part<T> {
    let summaries: Vec<Summary> =
        run.summaries().filter(|summary| summary.listener.port == port).cloned().collect();
    let own = |drop: &&DropLine| summaries.iter().any(|one| one.listener.id == drop.listener);
    let drops = run.drops().filter(own).cloned().collect();
    Part { name: name.to_owned(), truth, summaries, drops, missed: blind::missed(run) }
}

/// The same with the load program.
pub(crate) fn trace_load(variants: &[Variant<'_>]) -> Batch<load::Truth> {
    trace(&program("backlog-load"), variants)
}

/// The same with crafted packets.
pub(crate) fn trace_packets(variants: &[Variant<'_>]) -> Batch<packets::Truth> {
    trace(&program("backlog-packets"), variants)
}

/// What most tests check at the end: the tool, the load and the kernel have counted every
/// connection exactly once, for each part and for all together.
pub(crate) fn assert_exact(batch: &Batch<load::Truth>) {
    for part in &batch.parts {
        assert_counted(part);
        assert_held(part);
    }
    let all: u64 = batch.parts.iter().map(|part| part.summary().enqueued).sum();
    let missed = blind::missed(&batch.run);
    assert_count(all, counter(&batch.kernel, "PassiveOpens"), missed, "all together: the kernel");
}

/// Asserts that there are as many connections as clients. These must hold their connections:
/// otherwise another CPU may process a FIN right after the final ACK, and the kernel then creates
/// two children and discards one.
pub(crate) fn assert_held(part: &Part<load::Truth>) {
    let Part { name, truth, missed, .. } = part;
    assert_eq!(truth.connects.succeeded, truth.connects.tried, "{name}: the load itself");
    assert_eq!(truth.accepted, truth.connects.succeeded, "{name}: the load itself");
    let enqueued = part.summary().enqueued;
    let passive = counter(&truth.kernel, "PassiveOpens");
    assert_count(enqueued, passive, *missed, &format!("{name}: the kernel"));
}

/// Asserts that every connection of the server was counted, whatever its client believes.
pub(crate) fn assert_counted(part: &Part<load::Truth>) {
    let Part { name, truth, missed, .. } = part;
    let summary = part.summary();
    assert!(truth.accepted > 0, "{name}: the load did nothing: {truth:?}");
    let enqueued = truth.accepted + truth.left_in_queue;
    assert_count(summary.enqueued, enqueued, *missed, &format!("{name}: enqueued"));
    assert_count(summary.accepted, truth.accepted, *missed, &format!("{name}: accepted"));
    assert_seen(summary, name);
    assert_eq!(summary.queued, 0, "{name}: queued");
    let overflows = counter(&truth.kernel, "ListenOverflows");
    assert_close(summary.drops.total, overflows, &format!("{name}: drops"));
}

/// Asserts that the tool's own comparison has the kernel's values, and that everything was seen.
pub(crate) fn assert_reconciled<T>(batch: &Batch<T>, part: &Part<T>) {
    let name = &part.name;
    for counted in ["ListenOverflows", "ListenDrops"] {
        let own = part.summary().reconciled.get(counted).copied();
        let Reconciled { kernel, seen } = own.unwrap_or_default();
        assert_eq!(kernel, counter(&batch.kernel, counted), "{name}: the kernel's {counted}");
        assert_eq!(seen, kernel, "{name}: {counted} seen");
    }
}

/// Waits until this many connections are queued. A client may be connected before its final ACK is
/// processed, and a reset on another CPU may overtake the ACK: then there is nothing to accept.
pub(crate) fn await_depth(listener: &TcpListener, depth: u32) {
    wait_until("the queue to fill", LIMIT, || Ok(socket::queue(listener)?.depth == depth)).unwrap();
}

/// Sends SIGINT like Ctrl-C; the run must succeed.
pub(crate) fn stop(tracer: Tracer) -> Run {
    let run = tracer.stop(LIMIT).unwrap();
    assert_eq!(run.code(), Some(0), "{}: {}", run.status, run.stderr);
    run
}

/// A load that listens already, and starts its clients on command.
pub(crate) struct Load {
    child: Child,
    go: PathBuf,
    out: PathBuf,
}

impl Load {
    /// Starts the load on `port` and waits until it listens.
    pub(crate) fn listening(port: u16, arguments: &str) -> Self {
        let (ready, go, out) = (scratch("ready"), scratch("go"), scratch("truth.json"));
        let child = Command::new(program("backlog-load"))
            .args(["-q", "--port", &port.to_string()])
            .arg("--ready-file")
            .arg(&ready)
            .arg("--wait-for-file")
            .arg(&go)
            .arg("--out")
            .arg(&out)
            .args(arguments.split_whitespace())
            .spawn()
            .unwrap();
        let load = Self { child, go, out };
        wait_for_file(&ready, LIMIT).unwrap();
        let _ = fs::remove_file(&ready);
        load
    }

    /// Its process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts its clients.
    pub(crate) fn go(&self) {
        fs::write(&self.go, "go\n").unwrap();
    }

    /// Waits until it ends; returns its truth.
    pub(crate) fn finish(mut self) -> load::Truth {
        wait_until("the load to end", LIMIT, || Ok(self.child.try_wait()?.is_some())).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the load ended with {status}");
        read_truth(&self.out)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Only after a failed test is there anything left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.go);
    }
}
