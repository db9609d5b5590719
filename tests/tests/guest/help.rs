//! Shared by the truth tests: the condition to run at all, one at a time and each in a fresh
//! network namespace; a batch of loads in one run of the tool, or a load that listens before it;
//! and the comparisons at their end.

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
/// The same, as an argument.
pub(crate) const PORT_TEXT: &str = "8000";
/// Longest time for any single step; an emulated guest is slow.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// After this time the progress of a test is printed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Does `test` in a fresh network namespace, if this is a guest.
pub(crate) fn in_guest(test: impl FnOnce() + Send) {
    // One at a time: two CPUs, and some tests look at the whole kernel.
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
            let _ = writeln!(stderr(), "{watched} goes on after {seconds} s: {}", proc::waiting());
        }
    });
    let done = catch_unwind(AssertUnwindSafe(|| netns::fresh(test).unwrap()));
    // libtest tells no times; and it keeps what a test prints, but not what
    // is written.
    let thread = thread::current();
    let (name, seconds) = (thread.name().unwrap_or("a test"), start.elapsed().as_secs_f64());
    let _ = writeln!(stderr(), "{seconds:6.1} s  {name}");
    done.unwrap_or_else(|panic| resume_unwind(panic));
}

/// The same of userspace alone, which no kernel and no way of attaching changes. Where this
/// machine's own kernel has had it in this run, no guest repeats it; else the guests with the
/// first way of attaching have it. The line does not name the test, since libtest does.
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

/// Is this no guest but a machine in use?
pub(crate) fn is_native() -> bool {
    env::var_os("BACKLOG_NATIVE").is_some()
}

/// The path of one of our programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = env::var_os("BACKLOG_BIN").unwrap_or_else(|| "/bin".into());
    Path::new(&folder).join(name)
}

/// A path that no other test has.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir();
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("backlog-{}-{number}-{name}", id()))
}

/// Reads a truth from the file that a program wrote it to.
pub(crate) fn read_truth<T: DeserializeOwned>(file: &Path) -> T {
    let text = fs::read_to_string(file).unwrap();
    let _ = fs::remove_file(file);
    serde_json::from_str(&text).unwrap()
}

/// One of our programs in a batch: what a failure calls it, and its arguments.
pub(crate) type Variant<'a> = (&'a str, String);

/// One run of the tool around several programs, one after the other, each on
/// a port of its own: starting the tool takes longer than most loads.
pub(crate) struct Batch<T> {
    pub(crate) run: Run,
    /// The change of the kernel's counters, in this test's own namespace.
    pub(crate) kernel: Changes,
    pub(crate) parts: Vec<Part<T>>,
}

/// What one program did and what the tool says of it.
pub(crate) struct Part<T> {
    pub(crate) name: String,
    pub(crate) truth: T,
    /// Of all that listened on its port.
    pub(crate) summaries: Vec<Summary>,
    /// The drop lines of these.
    pub(crate) drops: Vec<DropLine>,
    /// Events of the whole run that the tool says its programs may have missed.
    pub(crate) missed: u64,
}

impl<T> Part<T> {
    /// The tool's account of the only listener.
    pub(crate) fn summary(&self) -> &Summary {
        assert_eq!(self.summaries.len(), 1, "{}: listeners with a summary", self.name);
        &self.summaries[0]
    }
}

/// One counter of a truth or a batch.
pub(crate) fn counter(kernel: &Changes, name: &str) -> u64 {
    kernel.get(name).copied().unwrap_or(0)
}

/// Runs `backlog-trace --port 8000-... --cmd 'PROGRAM --port 8000 ... && ...'`.
pub(crate) fn trace<T: DeserializeOwned>(program: &Path, variants: &[Variant<'_>]) -> Batch<T> {
    trace_as(program, variants, |commands| commands.join(" && "))
}

/// The same with the shell line that `joined` makes of the commands, which must
/// run each of them and fail if one fails.
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
            // 3: it cannot be done in this kernel; its truth says why.
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
    // A program that fails at its very end has written its truth by then.
    assert!(!run.stderr.contains("--cmd ended"), "a program failed: {}", run.stderr);
    Batch { run, kernel, parts }
}

/// What a run of the tool says of all that listened on a port.
pub(crate) fn part<T>(name: &str, run: &Run, port: u16, truth: T) -> Part<T> {
    let summaries: Vec<Summary> =
        run.summaries().filter(|summary| summary.listener.port == port).cloned().collect();
    let own = |drop: &&DropLine| summaries.iter().any(|one| one.listener.id == drop.listener);
    let drops = run.drops().filter(own).cloned().collect();
    Part { name: name.to_owned(), truth, summaries, drops, missed: blind::missed(run) }
}

/// The same with the load.
pub(crate) fn trace_load(variants: &[Variant<'_>]) -> Batch<load::Truth> {
    trace(&program("backlog-load"), variants)
}

/// The same with crafted packets.
pub(crate) fn trace_packets(variants: &[Variant<'_>]) -> Batch<packets::Truth> {
    trace(&program("backlog-packets"), variants)
}

/// What most tests end with: every connection counted, and counted once, by
/// the tool, by the load and by the kernel; of each part and of all together.
pub(crate) fn assert_exact(batch: &Batch<load::Truth>) {
    for part in &batch.parts {
        assert_counted(part);
        assert_held(part);
    }
    let all: u64 = batch.parts.iter().map(|part| part.summary().enqueued).sum();
    let missed = blind::missed(&batch.run);
    assert_count(all, counter(&batch.kernel, "PassiveOpens"), missed, "all together: the kernel");
}

/// As many as there were clients. These must hold their connections: another CPU may process a FIN
/// right behind the final ACK at the same time, and the kernel then creates two children and
/// discards one.
pub(crate) fn assert_held(part: &Part<load::Truth>) {
    let Part { name, truth, missed, .. } = part;
    assert_eq!(truth.connects.succeeded, truth.connects.tried, "{name}: the load itself");
    assert_eq!(truth.accepted, truth.connects.succeeded, "{name}: the load itself");
    let enqueued = part.summary().enqueued;
    let passive = counter(&truth.kernel, "PassiveOpens");
    assert_count(enqueued, passive, *missed, &format!("{name}: the kernel"));
}

/// Every connection that the server got, whatever the clients think of it.
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

/// The tool's own comparison with the kernel: it says what the kernel says,
/// and that all of it was seen.
pub(crate) fn assert_reconciled<T>(batch: &Batch<T>, part: &Part<T>) {
    let name = &part.name;
    for counted in ["ListenOverflows", "ListenDrops"] {
        let own = part.summary().reconciled.get(counted).copied();
        let Reconciled { kernel, seen } = own.unwrap_or_default();
        assert_eq!(kernel, counter(&batch.kernel, counted), "{name}: the kernel's {counted}");
        assert_eq!(seen, kernel, "{name}: {counted} seen");
    }
}

/// Waits until this many connections are queued. A client may be connected before its last ACK is
/// processed, and a reset from another CPU may overtake it: then there is nothing to accept.
pub(crate) fn await_depth(listener: &TcpListener, depth: u32) {
    wait_until("the queue to fill", LIMIT, || Ok(socket::queue(listener)?.depth == depth)).unwrap();
}

/// Ends the tool as Ctrl-C does; it must be pleased.
pub(crate) fn stop(tracer: Tracer) -> Run {
    let run = tracer.stop(LIMIT).unwrap();
    assert_eq!(run.code(), Some(0), "{}: {}", run.status, run.stderr);
    run
}

/// A load that listens already and starts its clients on command.
pub(crate) struct Load {
    child: Child,
    go: PathBuf,
    out: PathBuf,
}

impl Load {
    /// Starts it on `port` and waits until it listens.
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

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets its clients start.
    pub(crate) fn go(&self) {
        fs::write(&self.go, "go\n").unwrap();
    }

    /// Waits for its end; the truth.
    pub(crate) fn finish(mut self) -> load::Truth {
        wait_until("the load to end", LIMIT, || Ok(self.child.try_wait()?.is_some())).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the load ended with {status}");
        read_truth(&self.out)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // After `finish` there is nothing left to end; in a test that failed
        // half-way there is.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.go);
    }
}
