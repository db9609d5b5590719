//! `--on-event`: commands for real events. They have the rights of the caller, are limited in
//! number, and end with the run.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backlog_tests::clock::wait_until;
use backlog_tests::tracer::{self, Tracer};
use serde_json::Value;

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, in_guest_once, program, scratch};
use super::high_use::{listener, own};

/// A queue that overflows soon. Its clients stay, and nobody accepts.
const OVERFLOW: &str = "--backlog 2 --count 8 --no-accept --connect nonblocking \
                        --connect-timeout 2s --hold-to-end";

/// The events that commands have written to a file.
fn events(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// A command that appends its event to a file.
fn keeping() -> (PathBuf, String) {
    let file = scratch("events");
    let command = format!("cat >>{}", file.display());
    (file, command)
}

/// The pid that a command has written to a file.
fn number(file: &Path) -> String {
    let written = || Ok(fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')));
    wait_until("the command to start", LIMIT, written).unwrap();
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// Waits until a process is gone, or a zombie.
fn assert_ends(pid: &str) {
    wait_until("the command to end", LIMIT, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Ok(stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')))
    })
    .unwrap();
}

#[test]
fn a_command_gets_the_event_and_the_run_waits_for_it() {
    in_guest(|| {
        let (file, command) = keeping();
        let load = Load::listening(PORT, OVERFLOW);
        // It takes longer than the run takes to end.
        let command = format!("sleep 0.5; {command}; echo written");
        let options =
            ["--port", PORT_TEXT, "--netns", &own(), "--until-drop", "--on-event", &command];
        let tracer = Tracer::start(&options, LIMIT).unwrap();
        load.go();
        let run = tracer.wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("written"), "{}", run.stderr);
        // Nothing failed and no event was skipped.
        assert!(!run.stderr.contains("--on-event"), "{}", run.stderr);
        let events = events(&file);
        let mut found = kinds(&events);
        found.sort_unstable();
        // The drop shows that the queue is full.
        assert_eq!(found, ["drops", "high_use"]);
        let drops = events.iter().find(|event| event["event"] == "drops").unwrap();
        let drop = run.drops().next().unwrap();
        assert_eq!(drops["type"], "event");
        assert_eq!(drops["cause"].as_str(), Some(drop.cause.as_str()));
        assert_eq!((&drops["depth"], &drops["limit"]), (&3.into(), &2.into()));
        assert_eq!(drops["process"]["pid"], load.id());
        assert_eq!(drops["port"], PORT);
        load.finish();
        fs::remove_file(file).unwrap();
    });
}

#[test]
fn a_queue_that_is_nearly_full_and_one_that_nobody_empties_are_events() {
    in_guest_once(|| {
        let (file, command) = keeping();
        // Two of three places are taken: no client is refused.
        let listener = listener(2);
        let options = ["--port", PORT_TEXT, "--netns", &own(), "--on-event", &command];
        let tracer = Tracer::start(&options, LIMIT).unwrap();
        let clients = [(); 2].map(|()| TcpStream::connect(("127.0.0.1", PORT)).unwrap());
        wait_until("both events", LIMIT, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            Ok(text.ends_with('\n') && text.lines().count() >= 2)
        })
        .unwrap();
        let run = tracer.stop(LIMIT).unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let mut events = events(&file);
        // Both commands may write at the same time.
        events.sort_by_key(|event| event["event"].as_str().unwrap().to_owned());
        assert_eq!(kinds(&events), ["high_use", "stall"], "{events:?}");
        assert_eq!(events[0]["level"], 80);
        let text = events[1]["text"].as_str().unwrap();
        assert!(text.contains("nobody had accepted"), "{text}");
        drop((listener, clients));
        fs::remove_file(file).unwrap();
    });
}

#[test]
fn the_command_has_the_rights_of_the_caller() {
    in_guest(|| {
        let script = |file: &Path| {
            let fields = "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|SigBlk|SigIgn):";
            let file = file.display();
            format!("{{ umask; ulimit -l; grep -E '{fields}' /proc/self/status; }} >{file}")
        };
        let (ours, theirs) = (scratch("ours"), scratch("theirs"));
        let status =
            Command::new("sh").args(["-c", &script(&ours)]).stdin(Stdio::null()).status().unwrap();
        assert!(status.success());
        let caller = fs::read_to_string(&ours).unwrap();
        assert!(caller.lines().count() >= 10, "{caller}");
        for more in [&[][..], &["--user", "65534:65534"]] {
            let load = Load::listening(PORT, OVERFLOW);
            let command = script(&theirs);
            let options =
                ["--port", PORT_TEXT, "--netns", &own(), "--until-drop", "--on-event", &command];
            let tracer = Tracer::start(&[&options, more].concat(), LIMIT).unwrap();
            load.go();
            let run = tracer.wait(LIMIT).unwrap();
            assert_eq!(run.code(), Some(1), "{}", run.stderr);
            assert_eq!(fs::read_to_string(&theirs).unwrap(), caller, "{more:?}");
            fs::remove_file(&theirs).unwrap();
            load.finish();
        }
        fs::remove_file(&ours).unwrap();
    });
}

/// The command does not read its event, ignores SIGTERM, and has a background process.
#[test]
fn a_hanging_command_holds_nothing_up_and_ends_with_the_run() {
    in_guest_once(|| {
        let file = scratch("pid");
        let hanging = format!("trap '' TERM; sleep 1000 & echo $! >{}; wait", file.display());
        for (signal, code) in [(libc::SIGINT, Some(0)), (libc::SIGKILL, None)] {
            let load = Load::listening(PORT, OVERFLOW);
            let options = ["--port", PORT_TEXT, "--netns", &own(), "--on-event", &hanging];
            let tracer = Tracer::start(&options, LIMIT).unwrap();
            load.go();
            let background = number(&file);
            // All clients were refused or queued in the meantime, and counted.
            let truth = load.finish();
            tracer.signal(signal).unwrap();
            let run = tracer.wait(LIMIT).unwrap();
            assert_eq!(run.code(), code, "{}", run.stderr);
            assert_ends(&background);
            fs::remove_file(&file).unwrap();
            if code.is_some() {
                assert!(run.stderr.contains("stopped at the end of the run"), "{}", run.stderr);
                let drops = run.summary(PORT).unwrap().drops.total;
                assert_eq!(Some(&drops), truth.kernel.get("ListenOverflows"), "{truth:?}");
            }
        }
    });
}

/// Nine listeners overflow almost at the same time, and each command runs for longer than that.
#[test]
fn commands_are_few_and_the_rest_is_counted() {
    in_guest_once(|| {
        let file = scratch("started");
        let command = format!("echo x >>{}; exec sleep 1000", file.display());
        let loads = (PORT..PORT + 9).map(|port| {
            let load = program("backlog-load");
            format!("{} -q --port {port} {OVERFLOW} >&2 & ", load.display())
        });
        let loads = loads.collect::<String>() + "wait";
        let ports = format!("{PORT}-{}", PORT + 8);
        let options =
            ["--port", &ports, "--netns", &own(), "--cmd", &loads, "--on-event", &command];
        let tracer = Tracer::start(&options, LIMIT).unwrap();
        // The loads end by themselves, and the run then waits for the commands.
        let mut tracer = tracer;
        tracer.wait_for("the end", LIMIT, |lines| lines.iter().any(|line| line.is("end"))).unwrap();
        let run = tracer.stop(LIMIT).unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let started = fs::read_to_string(&file).unwrap().lines().count();
        assert_eq!(started, 4, "{}", run.stderr);
        let end = "--on-event: 4 started (4 stopped at the end of the run); events without a \
                   command: ";
        assert!(run.stderr.contains(end) && run.stderr.contains("while 4 ran"), "{}", run.stderr);
        assert!(run.stderr.contains("not every event starts the command"), "{}", run.stderr);
        fs::remove_file(&file).unwrap();
    });
}

#[test]
fn a_failure_is_said_once_and_does_not_change_the_status() {
    in_guest_once(|| {
        let load = format!("{} -q --port {PORT} {OVERFLOW} >&2", program("backlog-load").display());
        let options = [
            "--port",
            PORT_TEXT,
            "--netns",
            &own(),
            "--cmd",
            &load,
            "--on-event",
            "/no/such/pager",
        ];
        let run = tracer::run(&options, LIMIT).unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let failures = run.stderr.matches("exited with status 127: the shell could not run it");
        assert_eq!(failures.count(), 1, "{}", run.stderr);
        // Drops, high use, and a stall if the load lasts long enough.
        let all_failed = |count| format!("--on-event: {count} started ({count} failed)");
        let said = [2, 3].map(all_failed).iter().any(|text| run.stderr.contains(text));
        assert!(said, "{}", run.stderr);
    });
}
