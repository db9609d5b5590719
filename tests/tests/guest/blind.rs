//! What a way of attaching cannot see, and says so (`gaps` of its `meta` line): the
//! tests expect nothing of it, and everything else as ever.

use std::io::{Write, stderr};
use std::sync::OnceLock;

use backlog_tests::packets::Truth;
use backlog_tests::tracer;

use super::help::LIMIT;

/// No tracepoint tells of requests that are given up, of packets that are ignored, and of
/// a listener that leaves while a handshake ends.
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

/// A truth without what is not seen; that is told.
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

/// A count as it should be. Tracepoints may miss a few: docs/BACKENDS.md says how many
/// were measured; more than that is an error there as well.
pub(crate) fn assert_count(seen: u64, truth: u64, what: &str) {
    if backend() == "tracepoint" {
        let off = seen.abs_diff(truth);
        if off > 0 {
            let _ = writeln!(stderr(), "tracepoint: {what}: {seen} of {truth}");
        }
        assert!(off <= (truth / 10).max(2), "{what}: {seen} of {truth}");
    } else {
        assert_eq!(seen, truth, "{what}");
    }
}
