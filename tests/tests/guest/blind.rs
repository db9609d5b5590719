//! Events that a backend cannot see, as its `gaps` in the `meta` line say: the tests do not expect
//! these, and everything else as usual.

use std::env;
use std::io::{Write, stderr};
use std::sync::OnceLock;

use backlog_tests::packets::Truth;
use backlog_tests::tracer::{self, Run, Summary};

use super::help::LIMIT;

/// No tracepoint shows requests that are given up, ignored packets, and a listener that leaves
/// LISTEN while a handshake ends.
const WITHOUT_FUNCTIONS: [&str; 4] = ["expired", "pruned", "ignored", "listener_left"];

/// The backend that the tool takes here, with the options of every run.
pub(crate) fn backend() -> &'static str {
    static BACKEND: OnceLock<String> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let run = tracer::run(&["-d", "0.1"], LIMIT).unwrap();
        run.meta().unwrap().backend.clone()
    })
}

/// Does the tool not see this cause, or this count beside?
pub(crate) fn to(name: &str) -> bool {
    backend() == "tracepoint" && WITHOUT_FUNCTIONS.contains(&name)
}

/// A truth without the unseen events, which are printed.
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

/// By how much a counter may differ from the kernel's, and how many connections of a
/// listener may be counted without their arrival: none in a guest. A hardened kernel may
/// keep programs from what interrupts process 1, and counts that nowhere
/// (docs/BACKENDS.md): where the tests run natively, a few are allowed, and named.
pub(crate) fn slack() -> u64 {
    if backend() == "tracepoint" && env::var_os("BACKLOG_NATIVE").is_some() { 10 } else { 0 }
}

/// How many events of a run its programs may have missed, by its own word. The kernel
/// skips a kprobe program where another one or a `bpf()` call runs on the CPU, and counts
/// that from 6.7 on; before, a few are allowed.
pub(crate) fn missed(run: &Run) -> u64 {
    if backend() != "kprobe" {
        return 0;
    }
    let end = run.lines.iter().find(|line| line.raw["type"] == "end").unwrap();
    end.raw["missed_by_programs"].as_u64().unwrap_or(3)
}

/// A count that agrees, except for this many missed events.
pub(crate) fn assert_count(seen: u64, truth: u64, missed: u64, what: &str) {
    let off = seen.abs_diff(truth);
    if off > 0 {
        let _ = writeln!(stderr(), "missed by programs ({missed}): {what}: {seen} of {truth}");
    }
    assert!(off <= missed, "{what}: {seen} of {truth}, missed by programs: {missed}");
}

/// Two counts that agree, but for what programs are kept from.
pub(crate) fn assert_close(seen: u64, truth: u64, what: &str) {
    let off = seen.abs_diff(truth);
    if off > 0 {
        let _ = writeln!(stderr(), "not shown to programs: {what}: {seen} of {truth}");
    }
    assert!(off <= slack(), "{what}: {seen} of {truth}");
}

/// Every arrival was seen, but for what programs are kept from.
pub(crate) fn assert_seen(summary: &Summary, what: &str) {
    let arrivals = summary.enqueued - summary.unseen;
    assert_close(arrivals, summary.enqueued, &format!("{what}: arrivals"));
}
