//! Tests the process with real commands.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, test_kill_process};

use super::{LONGEST, Launcher, Report, forked};

/// Longer than anything takes here, and shorter than a test run.
const PATIENCE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_hours(1);

/// A temporary file.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("backlog-on-event-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Waits until the file has a whole line.
    fn line(&self) -> String {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(&self.0).unwrap_or_default();
            if text.ends_with('\n') {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "nothing was written to {}", self.name());
            std::thread::sleep(STEP);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Waits for a report.
fn next(launcher: &Launcher) -> Report {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let mut line = [PollFd::new(&launcher.line, PollFlags::IN)];
    assert_eq!(poll(&mut line, Some(&patience)).unwrap(), 1, "no report");
    launcher.report().unwrap().unwrap()
}

/// Waits until the process is gone.
fn is_gone(pid: &str) {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let begin = Instant::now();
    while test_kill_process(pid).is_ok() {
        // It may be a zombie until its parent or init reaps it.
        let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let state = status.ok().and_then(|text| text.rsplit_once(") ")?.1.chars().next());
        if state.is_none_or(|state| state == 'Z') {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{pid:?} goes on");
        std::thread::sleep(STEP);
    }
}

#[test]
fn a_report_is_read_as_it_was_sent() {
    for report in [
        Report::Exited(3),
        Report::Signalled(9),
        Report::TooLong,
        Report::Stopped,
        Report::NotStarted(2),
    ] {
        assert_eq!(Report::parse(report.bytes()), Some(report));
    }
    assert_eq!(Report::parse([9; 8]), None);
}

#[test]
fn a_command_gets_each_event_and_its_end_is_reported() {
    let file = Scratch::new("events");
    let text = format!("cat >>{}; exit 3", file.name());
    let launcher = forked(&text, NEVER).unwrap();
    assert_eq!(launcher.report().unwrap(), None);
    for event in ["one\n", "two\n"] {
        launcher.start(event.as_bytes()).unwrap();
        assert_eq!(next(&launcher), Report::Exited(3));
    }
    assert_eq!(file.line(), "one\ntwo\n");
    assert!(launcher.start(&vec![b'x'; LONGEST + 1]).is_err());
}

#[test]
fn nobody_waits_for_a_command_that_reads_nothing() {
    let launcher = forked("exec sleep 1000", NEVER).unwrap();
    // The longest event exceeds a page.
    for _ in 0..3 {
        launcher.start(&vec![b'x'; LONGEST]).unwrap();
    }
    assert_eq!(launcher.report().unwrap(), None);
    launcher.stop();
    for _ in 0..3 {
        assert_eq!(next(&launcher), Report::Stopped);
    }
    // The process then ends by itself.
    let patience = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(&launcher.pidfd, PollFlags::IN)], Some(&patience)).unwrap();
    assert!(launcher.report().is_err());
    assert!(launcher.start(b"x").is_err());
}

#[test]
fn a_command_that_runs_too_long_ends_with_its_background_processes() {
    let file = Scratch::new("long");
    let text = format!("sleep 1000 & echo $! >{}; wait", file.name());
    let launcher = forked(&text, Duration::from_millis(300)).unwrap();
    launcher.start(b"{}\n").unwrap();
    let background = file.line();
    assert_eq!(next(&launcher), Report::TooLong);
    is_gone(&background);
}

#[test]
fn a_command_that_ignores_sigterm_is_killed() {
    let text = "trap '' TERM; while :; do sleep 1000; done";
    let launcher = forked(text, Duration::from_millis(300)).unwrap();
    launcher.start(b"{}\n").unwrap();
    assert_eq!(next(&launcher), Report::TooLong);
}

#[test]
fn background_processes_end_with_the_command() {
    let file = Scratch::new("background");
    let text = format!("sleep 1000 & echo $! >{}; kill -9 $$", file.name());
    let launcher = forked(&text, NEVER).unwrap();
    launcher.start(b"{}\n").unwrap();
    let background = file.line();
    assert_eq!(next(&launcher), Report::Signalled(9));
    is_gone(&background);
}

#[test]
fn commands_end_with_the_tool() {
    let file = Scratch::new("end");
    let text = format!("echo $$ >{}; exec sleep 1000", file.name());
    let launcher = forked(&text, NEVER).unwrap();
    launcher.start(b"{}\n").unwrap();
    let leader = file.line();
    drop(launcher);
    is_gone(&leader);
}
