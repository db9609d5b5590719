//! Conditions that must not change a total: more refusals than can be reported individually, a tool
//! that is not scheduled, and another tool at the same time.

use std::io::{Write, stderr};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use backlog_tests::packets;
use backlog_tests::tracer::{Run, Tracer};

use super::help::{
    LIMIT, Load, PORT, PORT_TEXT, assert_reconciled, counter, in_guest, program, read_truth,
    scratch, stop, trace_packets,
};

#[test]
fn a_storm_of_20000_refused_syns_is_counted_in_full() {
    in_guest(|| {
        let play = "syn-overflow --current-netns --count 20000".to_owned();
        let batch = trace_packets(&[("storm", play)]);
        let part = &batch.parts[0];
        let summary = part.summary();
        // This is just logged, since the number is not guaranteed.
        let _ = writeln!(stderr(), "storm: lost records {}", summary.lost_records);
        assert_eq!(counter(&batch.kernel, "ListenOverflows"), 20_000, "the load itself");
        assert_eq!(summary.drops.total, 20_000, "total");
        assert_eq!(summary.drops.of("accept_queue_full_syn"), 20_000, "cause");
        assert_eq!((summary.enqueued, summary.peak.depth), (5, 5), "the queue");
        assert_reconciled(&batch, part);
        // Lines may be lost, but not invented; each client is reported once.
        let (lines, clients) = (part.drops.len() as u64, summary.drops.clients.unwrap());
        assert!((1..=20_000).contains(&lines), "{lines} drop lines");
        assert!(clients <= 20_000, "{clients} clients");
    });
}

#[test]
fn a_tool_stopped_for_two_seconds_misses_nothing() {
    in_guest(|| {
        // Its clients connect before, during and after the pause.
        let load = Load::listening(PORT, "--count 300 --rate 100 --backlog 512");
        let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        load.go();
        sleep(Duration::from_millis(300));
        tracer.signal(libc::SIGSTOP).unwrap();
        sleep(Duration::from_secs(2));
        tracer.signal(libc::SIGCONT).unwrap();
        assert_eq!(load.finish().accepted, 300, "the load itself");
        let run = stop(tracer);
        assert_all_of(300, &run, "paused for 2 s");
        assert_eq!(run.summary(PORT).unwrap().wait_us.count(), 300, "waits in the histogram");
    });
}

/// The ring buffer holds 56 records: the other refused packets are only counted, and reported as
/// such. Arrivals need no record.
#[test]
fn a_ring_too_small_loses_records_and_no_count() {
    in_guest(|| {
        let ring = ["--port", PORT_TEXT, "--ring-kib", "4", "--drop-records", "100000"];
        let tracer = Tracer::start(&ring, LIMIT).unwrap();
        tracer.signal(libc::SIGSTOP).unwrap();
        let out = scratch("truth.json");
        let status = Command::new(program("backlog-packets"))
            .args(["--port", PORT_TEXT, "--out"])
            .arg(&out)
            .args(["syn-overflow", "--current-netns", "--count", "400"])
            .status()
            .unwrap();
        assert!(status.success(), "the load itself: {status}");
        let _: packets::Truth = read_truth(&out);
        tracer.signal(libc::SIGCONT).unwrap();
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.drops.total), (5, 400), "enqueued, drops");
        assert_eq!(summary.depth.count(), 5, "depths in the histogram");
        let lost = summary.lost_records.as_u64().unwrap();
        let told = run.drops().count() as u64;
        assert!(lost > 300, "only {lost} lost");
        // The record of the close may be among the lost ones.
        assert!((400..=401).contains(&(lost + told)), "{lost} lost, {told} told");
    });
}

/// One ends by Ctrl-C, the other by SIGTERM, both with their summary.
#[test]
fn two_tools_at_once_see_everything_and_end_well_by_either_signal() {
    in_guest(|| {
        let start = || Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        let (one, other) = (start(), start());
        let load = Load::listening(PORT, "--count 100 --backlog 128");
        load.go();
        assert_eq!(load.finish().accepted, 100, "the load itself");
        for (tracer, signal) in [(one, libc::SIGINT), (other, libc::SIGTERM)] {
            tracer.signal(signal).unwrap();
            let run = tracer.wait(LIMIT).unwrap();
            assert_eq!(run.code(), Some(0), "signal {signal}: {}", run.stderr);
            assert_all_of(100, &run, &format!("the one ended by signal {signal}"));
        }
    });
}

fn assert_all_of(count: u64, run: &Run, name: &str) {
    let summary = run.summary(PORT).unwrap();
    let seen = (summary.enqueued, summary.accepted, summary.queued, summary.drops.total);
    assert_eq!(seen, (count, count, 0, 0), "{name}: enqueued, accepted, queued, drops");
}
