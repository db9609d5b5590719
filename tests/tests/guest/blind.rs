//! Events that a backend cannot see, as its `gaps` in the `meta` line say. The tests do not expect
//! these, but all others as usual.

use std::env;
use std::io::{Write, stderr};
use std::sync::OnceLock;

use backlog_tests::packets::Truth;
use backlog_tests::tracer::{self, Run, Summary};

use super::help::LIMIT;

/// No tracepoint shows requests that are given up, ignored packets, or a listener that leaves
/// LISTEN while a handshake ends.
const WITHOUT_FUNCTIONS: [&str; 4] = ["expired", "pruned", "ignored", "listener_left"];

/// The backend that the tool chooses here, with the options of every run.
pub(crate) fn backend() -> &'static str {
    static BACKEND: OnceLock<String> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let run = tracer::run(&["-d", "0.1"], LIMIT).unwrap();
        run.meta().unwrap().backend.clone()
    })
}

/// Is this cause or side event invisible to the tool?
pub(crate) fn to(name: &str) -> bool {
    backend() == "tracepoint" && WITHOUT_FUNCTIONS.contains(&name)
}

/// The truth without the unseen events, which are printed.
pub(crate) fn as_seen(name: &str, truth: &Truth) -> Truth {
    let mut seen = truth.clone();
    seen.expected.retain(|cause, _| !to(cause));
    seen.beside.retain(|beside, _| !to(beside));
    let causes = truth.expected.keys().chain(truth.beside.keys());
    for unseen in causes.filter(|cause| to(cause)) {
        let _ = writeln!(stderr(), "not seen by {}: {name}: {unseen}", backend());
    }
    if seen.expected.is_empty() {
        seen.uncounted = 0;
        seen.clients.clear();
    }
    seen
}

/// The permitted difference between a counter and the kernel's, and the number of connections of a
/// listener that may be counted without their arrival: zero in a guest. A hardened kernel may keep
/// programs from running in interrupts of process 1, and counts that nowhere (docs/BACKENDS.md). So
/// natively a few are permitted, and reported.
pub(crate) fn slack() -> u64 {
    if backend() == "tracepoint" && env::var_os("BACKLOG_NATIVE").is_some() { 10 } else { 0 }
}

/// The number of events that the programs of a run may have missed, as the run reports it. The
/// kernel skips a kprobe program if another one or a `bpf()` call runs on the CPU, and counts that
/// from 6.7 on; before that, a few are permitted.
pub(crate) fn missed(run: &Run) -> u64 {
    if backend() != "kprobe" {
        return 0;
    }
    let end = run.lines.iter().find(|line| line.raw["type"] == "end").unwrap();
    end.raw["missed_by_programs"].as_u64().unwrap_or(3)
}

/// Asserts that a count is right, except for this many missed events.
pub(crate) fn assert_count(seen: u64, truth: u64, missed: u64, what: &str) {
    let off = seen.abs_diff(truth);
    if off > 0 {
        let _ = writeln!(stderr(), "missed by programs ({missed}): {what}: {seen} of {truth}");
    }
    assert!(off <= missed, "{what}: {seen} of {truth}, missed by programs: {missed}");
}

/// Asserts that two counts are equal, except for the permitted slack.
pub(crate) fn assert_close(seen: u64, truth: u64, what: &str) {
    let off = seen.abs_diff(truth);
    if off > 0 {
        let _ = writeln!(stderr(), "not shown to programs: {what}: {seen} of {truth}");
    }
    assert!(off <= slack(), "{what}: {seen} of {truth}");
}

/// Asserts that every arrival was seen, except for the permitted slack.
pub(crate) fn assert_seen(summary: &Summary, what: &str) {
    let arrivals = summary.enqueued - summary.unseen;
    assert_close(arrivals, summary.enqueued, &format!("{what}: arrivals"));
}
