//! Whatever blocks, a run ends: when nobody reads its output, when a thread of the tool is stuck,
//! and immediately on a second signal. Lost output is reported.

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use backlog_tests::bpf;
use backlog_tests::clock::wait_until;
use backlog_tests::ptrace::Held;
use backlog_tests::terminal;
use backlog_tests::tracer::{self, Kind, Line};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, in_guest_once, scratch};

/// The tool with any output format.
fn tool() -> Command {
    let path = env::var_os(tracer::PATH_VARIABLE);
    Command::new(path.unwrap_or_else(|| "backlog-trace".into()))
}

/// A full pipe without a reader.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    fill(&writer);
    (reader, writer)
}

/// Writes until nothing more fits.
fn fill(end: &impl AsRawFd) {
    let fd = end.as_raw_fd();
    set_nonblocking(fd, true);
    let zeros = [0_u8; 4096];
    for size in [zeros.len(), 1] {
        // SAFETY: an open descriptor, and a buffer that outlives the call.
        while unsafe { libc::write(fd, zeros.as_ptr().cast(), size) } > 0 {}
    }
    assert_eq!(io::Error::last_os_error().kind(), io::ErrorKind::WouldBlock);
    set_nonblocking(fd, false);
}

fn set_nonblocking(fd: i32, on: bool) {
    let flags = if on { libc::O_NONBLOCK } else { 0 };
    // SAFETY: it takes numbers; the only flag of a pipe or a terminal that it changes is this one.
    let set = unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// A running tool, some of whose output is not read.
struct Stalled {
    child: Child,
    recording: PathBuf,
    stderr: PathBuf,
    stdout: PathBuf,
}

impl Stalled {
    /// Starts it; returns when it traces, which is when its recording has its final name.
    fn start(ports: &str, arguments: &[&str], direct: impl FnOnce(&mut Command)) -> Self {
        let mut started = Self::spawn(ports, arguments, direct);
        wait_until("the tool to trace", LIMIT, || {
            let ended = started.child.try_wait()?;
            assert_eq!(ended, None, "{}", started.errors());
            Ok(started.recording.exists())
        })
        .unwrap();
        started
    }

    fn spawn(ports: &str, arguments: &[&str], direct: impl FnOnce(&mut Command)) -> Self {
        let (recording, stderr, stdout) = (scratch("run.jsonl"), scratch("err"), scratch("out"));
        let mut command = tracer::command();
        command.args(["--port", ports, "--record"]).arg(&recording).args(arguments);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        direct(&mut command);
        let child = command.spawn().unwrap();
        Self { child, recording, stderr, stdout }
    }

    fn signal(&self, signal: i32) {
        let pid = self.pid();
        // SAFETY: it takes two numbers; the child was not waited for, so the id is its own.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "{}", io::Error::last_os_error());
    }

    fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Waits until it ends.
    fn wait(&mut self) -> ExitStatus {
        let Self { child, .. } = self;
        wait_until("the tool to end", LIMIT, || Ok(child.try_wait()?.is_some())).unwrap();
        self.child.wait().unwrap()
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// The output of `replay` for its recording.
    fn replayed(&self) -> Vec<Line> {
        let mut command = tool();
        let run = command.args(["replay", "-o", "json"]).arg(&self.recording).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        lines(&String::from_utf8(run.stdout).unwrap())
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // After a failed test it still runs; otherwise it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in [&self.recording, &self.stderr, &self.stdout] {
            let _ = fs::remove_file(file);
        }
    }
}

fn lines(text: &str) -> Vec<Line> {
    text.lines().map(|line| Line::parse(line).unwrap()).collect()
}

fn has_end(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.is("end"))
}

/// Stdout is not read, and `end` ends the run.
fn with_stalled_stdout(arguments: &[&str], end: impl FnOnce(&Stalled)) {
    let (_reader, writer) = full_pipe();
    let mut tool = Stalled::start(PORT_TEXT, arguments, |command| {
        command.stdout(writer);
    });
    end(&tool);
    let status = tool.wait();
    assert_eq!(status.code(), Some(2), "{status}: {}", tool.errors());
    let errors = tool.errors();
    assert!(errors.contains("stdout: its reader has stalled; not written: "), "{errors}");
    // The recording has a reader, so it is complete.
    assert!(has_end(&tool.replayed()));
}

#[test]
fn a_duration_ends_a_run_whose_stdout_is_not_read() {
    in_guest_once(|| with_stalled_stdout(&["-d", "1s"], |_| {}));
}

#[test]
fn each_signal_ends_a_run_whose_stdout_is_not_read() {
    in_guest_once(|| {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            with_stalled_stdout(&[], |tool| tool.signal(signal));
        }
    });
}

#[test]
fn a_run_whose_stderr_is_not_read_writes_the_rest_and_says_so_by_its_status() {
    in_guest_once(|| {
        let (_reader, writer) = full_pipe();
        let mut tool = Stalled::start(PORT_TEXT, &["-d", "1s", "-v"], |command| {
            command.stderr(writer);
        });
        assert_eq!(tool.wait().code(), Some(2));
        assert!(has_end(&lines(&fs::read_to_string(&tool.stdout).unwrap())));
        assert!(has_end(&tool.replayed()));
    });
}

#[test]
fn a_recording_that_is_not_read_is_incomplete_and_the_rest_is_written() {
    in_guest_once(|| {
        let fifo = scratch("fifo");
        let name = CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: a string with an end, which outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let ends = File::options().read(true).write(true).open(&fifo).unwrap();
        fill(&ends);
        let fifo_text = fifo.to_str().unwrap();
        let arguments = ["--port", PORT_TEXT, "--record", fifo_text, "-d", "1s"];
        let run = tracer::run(&arguments, LIMIT).unwrap();
        fs::remove_file(&fifo).unwrap();
        assert_eq!(run.code(), Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(" is incomplete: its reader"), "{}", run.stderr);
        let end = run.lines.iter().find(|line| line.is("end")).unwrap();
        assert!(end.raw["recording_incomplete"].as_str().is_some(), "{}", end.raw);
    });
}

#[test]
fn a_terminal_that_is_stopped_is_given_back() {
    in_guest_once(|| {
        let (_ours, theirs) = terminal::open();
        let before = terminal::settings(&theirs);
        // Like Ctrl-S. SAFETY: an open descriptor.
        assert_eq!(unsafe { libc::tcflow(theirs.as_raw_fd(), libc::TCOOFF) }, 0);
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let recording = scratch("run.jsonl");
        let mut command = tool();
        command.args(["--tui", "--port", PORT_TEXT, "--record"]).arg(&recording);
        let more = env::var(tracer::OPTIONS_VARIABLE).unwrap_or_default();
        command.args(more.split_whitespace()).env("TERM", "xterm");
        let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        wait_until("the tool to trace", LIMIT, || Ok(recording.exists())).unwrap();
        wait_until("the screen", LIMIT, || Ok(terminal::settings(&theirs) != before)).unwrap();
        let pid = child.id().try_into().unwrap();
        // SAFETY: it takes two numbers; the child was not waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
        wait_until("the tool to end", LIMIT, || Ok(child.try_wait()?.is_some())).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        assert_eq!(terminal::settings(&theirs), before);
        fs::remove_file(&recording).unwrap();
    });
}

/// The main thread is stuck, as in a file of `/proc`, when the signal arrives: other threads stop
/// and detach the programs, and later events are not counted.
#[test]
fn a_stuck_tool_stops_counting_and_detaches() {
    in_guest(|| {
        let (before, after) = ((Load::listening(PORT, "--count 20")), PORT + 1);
        let programs = bpf::programs().unwrap();
        let ports = format!("{PORT}-{after}");
        let mut tool = Stalled::start(&ports, &[], |_| {});
        // The iterator has no hook: it runs when it is read, and its reader may keep it.
        let is_hooked = |program: &bpf::Program| !program.name.starts_with("it_");
        let is_new = |program: &bpf::Program| {
            is_hooked(program) && programs.iter().all(|old| old.id != program.id)
        };
        let ours: Vec<u32> =
            bpf::programs().unwrap().into_iter().filter(is_new).map(|one| one.id).collect();
        assert!(!ours.is_empty(), "no program is attached");
        before.go();
        assert_eq!(before.finish().accepted, 20, "the load itself");
        // It is started before that: the tool gives up after being stuck for 30 s, during which a
        // slow guest can do little else.
        let later = Load::listening(after, "--count 7");
        let held = Held::hold(tool.pid()).unwrap();
        tool.signal(libc::SIGTERM);
        wait_until("the programs to be detached", LIMIT, || {
            Ok(bpf::programs()?.iter().all(|program| !ours.contains(&program.id)))
        })
        .unwrap();
        later.go();
        assert_eq!(later.finish().accepted, 7, "the load itself");
        drop(held);
        let status = tool.wait();
        assert_eq!(status.code(), Some(0), "{}", tool.errors());
        let lines = lines(&fs::read_to_string(&tool.stdout).unwrap());
        let accepted = |port: u16| -> u64 {
            let of = |line: &Line| match &line.kind {
                Kind::Summary(one) if one.listener.port == port => Some(one.accepted),
                _ => None,
            };
            lines.iter().filter_map(of).sum()
        };
        assert_eq!((accepted(PORT), accepted(after)), (20, 0));
    });
}

/// Two tools, since each takes half a minute to give up: one is stuck in its run, one while it loads
/// and attaches its programs.
#[test]
fn a_tool_that_stays_stuck_ends_and_says_in_what() {
    in_guest_once(|| {
        let mut running = Stalled::start(PORT_TEXT, &["--cmd", "sleep 1000"], |_| {});
        let mut starting = Stalled::spawn(PORT_TEXT, &[], |_| {});
        await_handler(starting.pid());
        let held = [&running, &starting].map(|tool| Held::hold(tool.pid()).unwrap());
        assert!(!starting.recording.exists(), "it traces already");
        for tool in [&running, &starting] {
            tool.signal(libc::SIGINT);
        }
        let codes = [&mut running, &mut starting].map(|tool| tool.wait().code());
        assert_eq!(codes, [Some(2); 2]);
        drop(held);
        let [running, starting] = [running, starting].map(|tool| tool.errors());
        let stuck = "the run does not end by itself: it is stuck";
        assert!(running.contains(stuck), "{running}");
        assert!(starting.contains(stuck) && !starting.contains("while tracing"), "{starting}");
    });
}

/// Waits until a tool that starts handles SIGINT.
fn await_handler(pid: i32) {
    wait_until("a handler of SIGINT", LIMIT, || {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        Ok(u64::from_str_radix(caught, 16).unwrap() & (1 << (libc::SIGINT - 1)) != 0)
    })
    .unwrap();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    in_guest_once(|| {
        let mut tool = Stalled::start(PORT_TEXT, &[], |_| {});
        // It cannot end by itself.
        let held = Held::hold(tool.pid()).unwrap();
        tool.signal(libc::SIGINT);
        // A signal that comes too soon counts as the first one.
        wait_until("the tool to end", LIMIT, || {
            tool.signal(libc::SIGTERM);
            Ok(tool.child.try_wait()?.is_some())
        })
        .unwrap();
        assert_eq!(tool.wait().signal(), Some(libc::SIGTERM));
        drop(held);
    });
}
