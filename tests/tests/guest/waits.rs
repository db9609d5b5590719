//! How long connections wait: the tool's distribution against the load's own
//! stamps. Odd numbers of connections, so that the median is one of them.

use super::help::{Traced, in_guest, trace_load};
use backlog_tests::load::Truth;
use backlog_tests::tracer::{Distribution, Summary};

/// The load stamps in user space, the tool in the kernel.
const TOLERANCE_US: f64 = 5_000.0;
/// The histogram's own error.
const ERROR: f64 = 0.01;

#[test]
fn a_stall_of_300_ms_is_seen_by_everyone_who_waited() {
    in_guest(|| {
        let traced = trace_load("--count 15 --connect nonblocking --stall 300ms");
        assert!(traced.truth.waits_us.min >= 200_000, "the load itself");
        assert_agree(&traced);
    });
}

#[test]
fn a_slow_server_makes_a_growing_line() {
    in_guest(|| {
        let arguments = "--count 21 --backlog 64 --rate 100 --accept-delay 30ms";
        assert_agree(&trace_load(arguments));
    });
}

#[test]
fn a_stall_in_the_middle_shows_in_the_maximum_only() {
    in_guest(|| {
        let arguments = "--count 25 --backlog 64 --rate 50 --stall 200ms --stall-after 20";
        let traced = trace_load(arguments);
        let waits = traced.truth.waits_us;
        assert!(waits.max > 150_000 && waits.p50 < 100_000, "the load itself");
        assert_agree(&traced);
    });
}

/// Each accepted connection has a wait, and middle and end agree.
fn assert_agree(traced: &Traced<Truth>) {
    let truth = &traced.truth.waits_us;
    let Summary { wait_us, accepted, .. } = traced.summary();
    assert_eq!(*accepted, traced.truth.accepted);
    assert_eq!(truth.count, traced.truth.accepted, "the load itself");
    assert_eq!(wait_us.count(), truth.count, "waits in the histogram");
    assert_near("p50", truth.p50, wait_us.p50, wait_us);
    assert_near("max", truth.max, wait_us.max, wait_us);
}

fn assert_near(name: &str, truth: u64, seen: Option<f64>, all: &Distribution) {
    let truth = truth as f64;
    let seen = seen.unwrap_or_default();
    let tolerance = TOLERANCE_US + truth * ERROR;
    assert!(
        (seen - truth).abs() <= tolerance,
        "{name}: the tool says {seen} us, the load {truth} us; {all:?}"
    );
}
