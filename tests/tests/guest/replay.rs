//! Recordings: a replay prints the output of the run, byte for byte; a recording survives a kill;
//! and if it cannot be written, tracing continues.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use backlog_tests::clock::wait_until;
use backlog_tests::tracer::{self, Kind, Line, Tracer};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest_once, program, read_truth, scratch};

/// A queue that overflows again and again, of a slow server.
const OVERFLOW: &str = "--backlog 2 --count 40 --connect nonblocking --connect-timeout 3s \
                        --accept-delay 20ms";

/// The tool with any output format.
fn tool() -> Command {
    let path = env::var_os(tracer::PATH_VARIABLE);
    Command::new(path.unwrap_or_else(|| OsString::from("backlog-trace")))
}

/// A completed run of the tool.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the tool until it ends, with tracing or without.
fn run(command: &mut Command) -> Ended {
    let (out, err) = (scratch("out"), scratch("err"));
    let files = [&out, &err].map(|path| File::create(path).unwrap());
    let [to_out, to_err] = files;
    let mut child = command.stdin(Stdio::null()).stdout(to_out).stderr(to_err).spawn().unwrap();
    let ended = wait_until("the tool to end", LIMIT, || Ok(child.try_wait()?.is_some()));
    if ended.is_err() {
        child.kill().unwrap();
    }
    let code = child.wait().unwrap().code();
    let [out, err] = [out, err].map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        text
    });
    assert!(ended.is_ok(), "{ended:?}: {err}");
    Ended { code, out, err }
}

/// Records a run with this output format while a load overflows.
fn record(form: &str, file: &Path) -> Ended {
    let truth = scratch("truth.json");
    let load = format!(
        "{} -q --port {PORT} --out {} {OVERFLOW}",
        program("backlog-load").display(),
        truth.display()
    );
    let more = env::var(tracer::OPTIONS_VARIABLE).unwrap_or_default();
    let mut command = tool();
    command
        .args(["--port", PORT_TEXT, "-o", form, "--utc", "0.3", "--cmd", &load, "--record"])
        .arg(file)
        .args(more.split_whitespace());
    let output = run(&mut command);
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(truth.exists(), "the load did nothing: {}", output.err);
    read_truth::<serde_json::Value>(&truth);
    output
}

fn replay(file: &Path, arguments: &[&str]) -> Ended {
    run(tool().arg("replay").arg(file).args(arguments))
}

#[test]
fn a_replay_prints_what_the_run_has_printed() {
    in_guest_once(|| {
        for (form, name) in [("table", "run.jsonl"), ("json", "run.zst"), ("csv", "run.zst")] {
            let file = scratch(name);
            let live = record(form, &file);
            let again = replay(&file, &["-o", form, "--utc"]);
            assert_eq!(again.code, Some(0), "{}", again.err);
            assert_eq!(again.out, live.out, "{form}");
            assert!(live.out.contains("8000"), "{form}: {}", live.out);
            assert!(live.out.contains("accept_queue_full"), "{form}: {}", live.out);
            // The replay repeats all messages of the run, and no others.
            assert_eq!(again.err, live.err, "{form}");
            fs::remove_file(&file).unwrap();
        }
    });
}

#[test]
fn a_kill_loses_only_what_came_last() {
    in_guest_once(|| {
        let file = scratch("killed.zst");
        let load = Load::listening(
            PORT,
            "--backlog 2 --count 8 --no-accept --connect nonblocking \
                                          --connect-timeout 500ms --hold-to-end",
        );
        let name = file.to_str().unwrap();
        // The only interval does not end, so only drops cause writes.
        let arguments = ["--port", PORT_TEXT, "--record", name, "1h"];
        let mut tracer = Tracer::start(&arguments, LIMIT).unwrap();
        load.go();
        let drops =
            |lines: &[Line]| lines.iter().filter(|line| matches!(line.kind, Kind::Drop(_))).count();
        tracer.wait_for("a drop", LIMIT, |lines| drops(lines) > 0).unwrap();
        load.finish();
        // The file contains it during the run, at most a second later.
        wait_until("the drops to be in the file", LIMIT, || {
            let shown = replay(&file, &["-o", "json", "-q"]);
            let there = shown.out.matches("\"type\":\"drop\"").count();
            Ok(shown.code == Some(0) && there == drops(&tracer.lines()?))
        })
        .unwrap();
        let run = tracer.kill(LIMIT).unwrap();
        let shown = replay(&file, &["-o", "json"]);
        assert_eq!(shown.code, Some(0), "{}", shown.err);
        let lines: Vec<Line> = shown.out.lines().map(|line| Line::parse(line).unwrap()).collect();
        assert_eq!(drops(&lines), drops(&run.lines));
        let end = lines.iter().find(|line| line.is("end")).unwrap();
        assert!(end.raw["recording_incomplete"].is_string(), "{}", end.raw);
        assert!(shown.err.contains("ends before the run did"), "{}", shown.err);
        fs::remove_file(&file).unwrap();
    });
}

/// Otherwise the kernel would kill the tool with SIGXFSZ.
#[test]
fn a_limit_of_file_sizes_is_said_and_tracing_goes_on() {
    in_guest_once(|| {
        let file = scratch("limited");
        let traced = format!(
            "ulimit -f 16; exec {} --port {PORT_TEXT} --record {} -d 2s 0.01",
            tool().get_program().display(),
            file.display()
        );
        let run = run(Command::new("sh").args(["-c", &traced]));
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert_eq!(run.err.matches("is incomplete: File too large").count(), 1, "{}", run.err);
        assert!(run.out.contains("Summary of"), "{}", run.out);
        let page = scratch("limited.html");
        let report = format!(
            "ulimit -f 1; exec {} report {} -o {}",
            tool().get_program().display(),
            file.display(),
            page.display()
        );
        let run = self::run(Command::new("sh").args(["-c", &report]));
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert!(run.err.contains("File too large"), "{}", run.err);
        assert!(!page.exists(), "a part of a page");
        fs::remove_file(&file).unwrap();
    });
}

#[test]
fn a_full_disk_is_said_and_tracing_goes_on() {
    in_guest_once(|| {
        let truth = scratch("truth.json");
        let load = format!(
            "{} -q --port {PORT} --count 5 --out {}",
            program("backlog-load").display(),
            truth.display()
        );
        let arguments = ["--port", PORT_TEXT, "--record", "/dev/full", "--cmd", &load];
        let run = tracer::run(&arguments, LIMIT).unwrap();
        assert_eq!(run.code(), Some(2), "{}", run.stderr);
        assert_eq!(run.summary(PORT).unwrap().enqueued, 5);
        fs::remove_file(&truth).unwrap();
        assert_eq!(run.stderr.matches("the recording /dev/full is incomplete").count(), 1);
        assert!(run.stderr.contains("No space left on device"), "{}", run.stderr);
        let end = run.lines.last().unwrap();
        assert!(end.raw["recording_incomplete"].is_string(), "{}", end.raw);
    });
}
