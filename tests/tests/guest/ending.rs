//! How a run ends: by time, at the first drop, when its reader is gone, or killed; with the right
//! exit status and nothing left behind. (pressure.rs tests signals.)

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlog_tests::bpf;
use backlog_tests::clock::wait_until;
use backlog_tests::tracer::{self, Tracer};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, in_guest_once, scratch};

/// A queue that overflows soon, and a load that ends soon after that.
const OVERFLOW: &str = "--backlog 2 --count 8 --no-accept --connect nonblocking \
                        --connect-timeout 500ms --hold-to-end";

#[test]
fn until_drop_ends_at_the_first_drop_with_status_1() {
    in_guest(|| {
        let load = Load::listening(PORT, OVERFLOW);
        let tracer = Tracer::start(&["--port", PORT_TEXT, "--until-drop"], LIMIT).unwrap();
        load.go();
        let run = tracer.wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        assert!(run.drops().count() >= 1);
        assert!(run.summary(PORT).unwrap().drops.total >= 1);
        load.finish();
    });
}

#[test]
fn a_duration_ends_it_and_without_a_drop_the_status_is_0() {
    in_guest(|| {
        let start = Instant::now();
        let arguments = ["--port", PORT_TEXT, "--until-drop", "--duration", "2s"];
        let run = tracer::run(&arguments, LIMIT).unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert!(start.elapsed() >= Duration::from_secs(2));
    });
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    in_guest(|| {
        // It prints a line each second, and so notices that its reader is gone.
        let mut child = tracer::command()
            .args(["--port", PORT_TEXT, "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let _load = Load::listening(PORT, "--count 1");
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("meta"), "{first}");
        let ended = wait_until("the tool to end", LIMIT, || Ok(child.try_wait()?.is_some()));
        if ended.is_err() {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{ended:?}");
    });
}

#[test]
fn killed_by_force_it_leaves_no_program_in_the_kernel() {
    in_guest(|| {
        let before = bpf::programs().unwrap();
        let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        let during = bpf::programs().unwrap();
        assert!(during.len() > before.len(), "no program is attached");
        tracer.kill(LIMIT).unwrap();
        // The kernel frees them after a grace period.
        wait_until("the tool's programs to vanish", LIMIT, || {
            let left = bpf::programs()?;
            Ok(left.iter().all(|program| before.contains(program)))
        })
        .unwrap();
    });
}

/// Otherwise the command starts, with the caller's action for SIGXFSZ.
#[test]
fn a_run_that_is_to_end_before_it_begins_starts_no_command() {
    in_guest_once(|| {
        let (started, err) = (scratch("started"), scratch("err"));
        let command = format!("grep SigIgn /proc/self/status >{}; sleep 5", started.display());
        let begin = |signalled: bool| {
            let mut tool = Command::new(tracer::path());
            tool.args(["-q", "--port", PORT_TEXT, "-d", "1s", "--cmd", &command]);
            let files = [&err; 2].map(|path| File::create(path).unwrap());
            let [out, err] = files;
            let mut tool = tool.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
            let handles = || {
                let status = fs::read_to_string(format!("/proc/{}/status", tool.id()))?;
                let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16)?;
                Ok(caught & 1 << (libc::SIGTERM - 1) != 0)
            };
            wait_until("the tool to watch for signals", LIMIT, handles).unwrap();
            if signalled {
                let id = i32::try_from(tool.id()).unwrap();
                // SAFETY: the call has no memory; the child is not reaped yet.
                assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
            }
            assert_eq!(tool.wait().unwrap().code(), Some(0));
        };
        begin(true);
        assert!(!started.exists());
        begin(false);
        let ignored = fs::read_to_string(&started).unwrap();
        let ignored = ignored.trim().rsplit('\t').next().unwrap();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        assert_eq!(ignored & 1 << (libc::SIGXFSZ - 1), 0, "{ignored:x}");
        fs::remove_file(&started).unwrap();
        fs::remove_file(&err).unwrap();
    });
}
