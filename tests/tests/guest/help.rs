//! What the truth tests share: the condition to run at all, one at a time and
//! each in a fresh network namespace; the load, in front of the tool or before
//! it; and the comparison that most of them end with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backlog_tests::clock::wait_until;
use backlog_tests::counters::{Changes, Counters};
use backlog_tests::handshake::wait_for_file;
use backlog_tests::tracer::{self, Run, Summary};
use backlog_tests::{load, netns};
use serde::de::DeserializeOwned;

/// The port of nearly every test.
pub(crate) const PORT: u16 = 8000;
/// The same, as an argument.
pub(crate) const PORT_TEXT: &str = "8000";
/// Longest time for any single step; an emulated guest is slow.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// Does `test` in a fresh network namespace, if this is a guest.
pub(crate) fn in_guest(test: impl FnOnce() + Send) {
    // One at a time: two CPUs, and some tests look at the whole kernel.
    static ALONE: Mutex<()> = Mutex::new(());
    if env::var_os("BACKLOG_GUEST").is_none() {
        println!("not in a guest: run `cargo xtask test`");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    netns::fresh(test).unwrap();
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

/// A run of the tool around one of our programs, and both accounts of it.
pub(crate) struct Traced<T> {
    pub(crate) run: Run,
    pub(crate) truth: T,
    /// The change of the kernel's counters, in this test's own namespace.
    pub(crate) kernel: Changes,
}

impl<T> Traced<T> {
    /// The tool's account of the only listener.
    pub(crate) fn summary(&self) -> &Summary {
        self.run.summary(PORT).unwrap()
    }

    /// One kernel counter.
    pub(crate) fn kernel(&self, name: &str) -> u64 {
        self.kernel.get(name).copied().unwrap_or(0)
    }
}

/// Runs `backlog-trace --port 8000 --cmd 'PROGRAM --port 8000 ...'`.
pub(crate) fn trace<T: DeserializeOwned>(name: &str, arguments: &str) -> Traced<T> {
    let out = scratch("truth.json");
    let command =
        format!("{} --port {PORT} --out {} {arguments}", program(name).display(), out.display());
    let before = Counters::read().unwrap();
    let run = tracer::run(&["--port", PORT_TEXT, "--cmd", &command], LIMIT).unwrap();
    let kernel = Counters::read().unwrap().change_since(&before);
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    Traced { run, truth: read_truth(&out), kernel }
}

/// The same with the load.
pub(crate) fn trace_load(arguments: &str) -> Traced<load::Truth> {
    trace("backlog-load", &format!("-q {arguments}"))
}

/// What most tests end with: every connection counted, and counted once, by
/// the tool, by the load and by the kernel.
pub(crate) fn assert_exact(traced: &Traced<load::Truth>) {
    assert_eq!(traced.truth.accepted, traced.truth.connects.succeeded, "the load itself");
    assert_counted(traced);
    assert_eq!(traced.summary().enqueued, traced.kernel("PassiveOpens"), "the kernel");
}

/// Every connection that the server got, whatever the clients think of it.
pub(crate) fn assert_counted(traced: &Traced<load::Truth>) {
    let summary = traced.summary();
    let accepted = traced.truth.accepted;
    assert!(accepted > 0, "the load did nothing: {:?}", traced.truth);
    assert_eq!(summary.enqueued, accepted, "enqueued");
    assert_eq!(summary.accepted, accepted, "accepted");
    assert_eq!(summary.drops.total, traced.kernel("ListenOverflows"));
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
