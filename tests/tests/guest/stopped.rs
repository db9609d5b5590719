//! The tool is stopped (SIGSTOP) while the load continues, with far more records than the ring
//! buffer holds: nothing waits for the tool, every total is right, lost records are counted, and
//! the tool's memory does not grow.

use std::fs;
use std::io::{Write, stderr};
use std::path::PathBuf;
use std::process::{Child, Command};

use backlog_tests::clock::wait_until;
use backlog_tests::counters::{Changes, Counters};
use backlog_tests::handshake::wait_for_file;
use backlog_tests::load;
use backlog_tests::packets::Truth;
use backlog_tests::proc;
use backlog_tests::tracer::{Kind, Line, Reconciled, Run, Summary, Tracer};

use super::blind::{self, assert_close, assert_count, assert_seen};
use super::help::{LIMIT, Load, PORT, counter, in_guest, program, read_truth, scratch, stop};

/// The size of the ring buffer: some 200 records.
const RING_KIB: &str = "16";
/// All of them fit into the accept queue, however slow the server is.
const CONNECTIONS: u64 = 3_000;
/// The amount by which the tool may grow.
const GROWTH_KIB: u64 = 16 * 1024;
/// The port at which packets are refused, next to that of the load.
const REFUSING: u16 = PORT + 1;

/// What is refused: the cause, the scenario, and the number of packets. A backlog of 100 can refuse
/// 98 final ACKs, each sent 51 times.
struct Play {
    cause: &'static str,
    arguments: &'static str,
    count: u64,
}

const SYNS: Play =
    Play { cause: "accept_queue_full_syn", arguments: "syn-overflow --count 10000", count: 10_000 };
const ACKS: Play = Play {
    cause: "accept_queue_full_ack",
    arguments: "ack-overflow --backlog 100 --retries 50",
    count: 98 * 51,
};

/// When the refusing program listens: before the tool is stopped, or after that.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Listening {
    before: bool,
    after: bool,
}

const ALWAYS: Listening = Listening { before: true, after: true };

#[test]
fn a_stopped_tool_blocks_nobody_and_loses_no_count_of_syns() {
    in_guest(|| while_stopped(&SYNS, ALWAYS));
}

#[test]
fn a_stopped_tool_blocks_nobody_and_loses_no_count_of_last_acks() {
    in_guest(|| while_stopped(&ACKS, ALWAYS));
}

#[test]
fn a_listener_that_closes_while_it_is_stopped_is_counted() {
    in_guest(|| while_stopped(&SYNS, Listening { before: true, after: false }));
}

#[test]
fn a_listener_that_comes_and_goes_while_it_is_stopped_is_counted() {
    in_guest(|| while_stopped(&SYNS, Listening { before: false, after: false }));
}

/// Its records find no room in the ring buffer, from its opening to its close.
#[test]
fn a_listener_of_which_no_record_is_left_is_counted() {
    in_guest(|| {
        let mut first = Playing::listening(&SYNS);
        let ports = format!("{PORT}-{REFUSING}");
        let arguments = ["--port", &ports, "--ring-kib", RING_KIB, "--drop-records", "1000000"];
        let tracer = Tracer::start(&arguments, LIMIT).unwrap();
        await_sleep(&tracer);
        tracer.signal(libc::SIGSTOP).unwrap();
        await_stop(&tracer);
        first.play();
        let load = Load::listening(PORT, "--count 50 --backlog 128");
        load.go();
        let truth = load.finish();
        assert_eq!(truth.accepted, 50, "the load itself");
        tracer.signal(libc::SIGCONT).unwrap();
        first.leave();
        let run = stop(tracer);
        let (summary, missed) = (run.summary(PORT).unwrap(), blind::missed(&run));
        assert_eq!(lost_of(&run, summary, "opened"), 1, "the record of its opening");
        assert_eq!(lost_of(&run, summary, "closed"), 1, "the record of its close");
        assert_count(summary.enqueued, 50, missed, "enqueued");
        assert_count(summary.accepted, 50, missed, "accepted");
        assert_eq!(summary.queued, 0, "queued: it is closed");
    });
}

fn while_stopped(play: &Play, listening: Listening) {
    let load = Load::listening(PORT, &format!("--count {CONNECTIONS} --backlog 4000"));
    let early = listening.before.then(|| Playing::listening(play));
    let ports = format!("{PORT}-{REFUSING}");
    let arguments = ["--port", &ports, "--ring-kib", RING_KIB, "--drop-records", "1000000"];
    let mut tracer = Tracer::start(&arguments, LIMIT).unwrap();
    await_sleep(&tracer);
    let (before, start) = (size(&tracer), Counters::read().unwrap());
    tracer.signal(libc::SIGSTOP).unwrap();
    await_stop(&tracer);
    load.go();
    let truth = load.finish();
    let mut playing = early.unwrap_or_else(|| Playing::listening(play));
    let refused = playing.play();
    if !listening.after {
        playing.leave();
    }
    // Everything is done, and the tool has not run.
    assert!(is_stopped(&tracer), "the tool continued by itself");
    let kernel = Counters::read().unwrap().change_since(&start);
    tracer.signal(libc::SIGCONT).unwrap();
    await_caught_up(&mut tracer);
    let after = size(&tracer);
    if listening.after {
        playing.leave();
    }
    let run = stop(tracer);
    assert_connections(&run, &truth);
    assert_refused(&run, play, &refused);
    assert_namespace(&run, &kernel, play.count);
    let _ = writeln!(stderr(), "VmHWM {before} KiB before the stop, {after} KiB after it");
    assert!(after <= before + GROWTH_KIB, "it grew from {before} to {after} KiB");
}

/// Compares the load's own account, the kernel's, and the tool's.
fn assert_connections(run: &Run, truth: &load::Truth) {
    assert_eq!(truth.accepted, CONNECTIONS, "the load itself");
    let (summary, missed) = (run.summary(PORT).unwrap(), blind::missed(run));
    // The kernel also counts children that are discarded because another CPU has queued their twin
    // first (`inet_csk_complete_hashdance`); seen once on a busy machine.
    let children = counter(&truth.kernel, "PassiveOpens");
    assert!(children >= CONNECTIONS, "the kernel made {children} children");
    assert_count(summary.enqueued, CONNECTIONS, missed, "enqueued");
    assert_count(summary.accepted, CONNECTIONS, missed, "accepted");
    assert_seen(summary, "connections");
    assert_eq!((summary.queued, summary.drops.total), (0, 0), "queued, drops");
    // Connections need no records.
    assert_count(summary.wait_us.count(), CONNECTIONS, missed, "waits in the histogram");
    assert_count(summary.depth.count(), CONNECTIONS, missed, "depths in the histogram");
}

/// Asserts that every refused packet has its cause, and was reported, only counted, or lost.
fn assert_refused(run: &Run, Play { cause, count, .. }: &Play, truth: &Truth) {
    assert_eq!(truth.expected.get(*cause), Some(count), "{cause}: the packets themselves");
    let summary = run.summary(REFUSING).unwrap();
    assert_close(summary.drops.of(cause), *count, cause);
    assert_close(summary.drops.total, *count, &format!("{cause}: total"));
    assert_count(summary.enqueued, truth.enqueued, blind::missed(run), cause);
    let told = run.drops().filter(|drop| drop.listener == summary.listener.id).count() as u64;
    let (all_lost, lost) = (lost(run, summary), lost_of(run, summary, "drop"));
    assert!(lost > 0 && lost <= all_lost, "{cause}: {lost} drops of {all_lost} lost");
    let all = told + lost + summary.drops.of("only_counted");
    assert_eq!(all, summary.drops.total, "{cause}: {told} told, {lost} lost");
}

/// Asserts that the tool's account of the namespace at the end equals the kernel's.
fn assert_namespace(run: &Run, kernel: &Changes, count: u64) {
    let summary = run.summary(PORT).unwrap();
    for name in ["ListenOverflows", "ListenDrops"] {
        let own = counter(kernel, name);
        assert_eq!(own, count, "{name}: the load itself");
        let Reconciled { kernel: told, seen } =
            summary.reconciled.get(name).copied().unwrap_or_default();
        assert_eq!(told, own, "{name}: the kernel's as reported");
        assert_close(seen, own, name);
    }
}

/// Everything that was lost of a listener; the kinds add up to the number.
fn lost(run: &Run, summary: &Summary) -> u64 {
    let lost = summary.lost_records.as_u64().unwrap();
    let kinds = by_kind(run, summary);
    let sum: u64 = kinds.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(sum, lost, "by kind: {kinds:?}");
    let _ = writeln!(stderr(), "port {}: lost {kinds:?}", summary.listener.port);
    lost
}

fn lost_of(run: &Run, summary: &Summary, kind: &str) -> u64 {
    by_kind(run, summary)[kind].as_u64().unwrap()
}

fn by_kind(run: &Run, summary: &Summary) -> serde_json::Map<String, serde_json::Value> {
    let is_its = |raw: &serde_json::Value| {
        raw["type"] == "summary" && raw["listener"]["id"] == summary.listener.id
    };
    let line = run.lines.iter().find(|line| is_its(&line.raw)).unwrap();
    line.raw["lost_by_kind"].as_object().unwrap().clone()
}

/// Crafted packets: the listener is open, and the packets wait to be sent. The program is killed if
/// a test fails.
struct Playing {
    child: Child,
    go: PathBuf,
    stay: PathBuf,
    out: PathBuf,
}

impl Playing {
    fn listening(play: &Play) -> Self {
        let (ready, go, out) = (scratch("ready"), scratch("go"), scratch("truth.json"));
        let mut command = Command::new(program("backlog-packets"));
        command.args(play.arguments.split_whitespace()).arg("--current-netns");
        command.args(["--port", &REFUSING.to_string()]).arg("--ready-file").arg(&ready);
        command.arg("--wait-for-file").arg(&go).arg("--out").arg(&out);
        let stay = scratch("stay");
        command.arg("--stay-until-file").arg(&stay);
        let playing = Self { child: command.spawn().unwrap(), go, stay, out };
        wait_for_file(&ready, LIMIT).unwrap();
        let _ = fs::remove_file(&ready);
        playing
    }

    /// Sends the packets; returns the truth. The program keeps listening.
    fn play(&self) -> Truth {
        fs::write(&self.go, "go\n").unwrap();
        wait_for_file(&self.out, LIMIT).unwrap();
        read_truth(&self.out)
    }

    /// Waits for the end of the program, which closes its listener.
    fn leave(&mut self) {
        fs::write(&self.stay, "leave\n").unwrap();
        let child = &mut self.child;
        wait_until("the packets' end", LIMIT, || Ok(child.try_wait()?.is_some())).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "the packets: {status}");
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in [&self.go, &self.stay] {
            let _ = fs::remove_file(file);
        }
    }
}

fn id(tracer: &Tracer) -> i32 {
    i32::try_from(tracer.id()).unwrap()
}

fn is_stopped(tracer: &Tracer) -> bool {
    proc::stopped(id(tracer))
}

fn await_stop(tracer: &Tracer) {
    wait_until("the tool to stop", LIMIT, || Ok(is_stopped(tracer))).unwrap();
}

fn await_sleep(tracer: &Tracer) {
    wait_until("the tool to sleep", LIMIT, || Ok(proc::asleep(id(tracer)))).unwrap();
}

/// Waits until the tool has reported the interval of the load, and so has read the ring buffer.
fn await_caught_up(tracer: &mut Tracer) {
    let has_load =
        |line: &Line| matches!(&line.kind, Kind::Interval(interval) if interval.enqueued > 0);
    let wanted = |lines: &[Line]| lines.iter().any(has_load);
    tracer.wait_for("an interval after the stop", LIMIT, wanted).unwrap();
    await_sleep(tracer);
}

fn size(tracer: &Tracer) -> u64 {
    proc::status_kib(tracer.id(), "VmHWM").unwrap()
}
