//! How long connections wait: the tool's distribution compared with the load's own timestamps. The
//! numbers of connections are odd, so that the median is one of them.

use super::help::{Part, in_guest, trace_load};
use backlog_tests::load::Truth;
use backlog_tests::tracer::{Distribution, Summary};

/// The load takes timestamps in user space, the tool in the kernel.
const TOLERANCE_US: f64 = 5_000.0;
/// The histogram's own error.
const ERROR: f64 = 0.01;

#[test]
fn agree_with_what_the_load_saw() {
    in_guest(|| {
        let variants = [
            ("everyone stalled", "--count 15 --connect nonblocking --stall 300ms"),
            ("a growing line", "--count 21 --backlog 64 --rate 100 --accept-delay 30ms"),
            (
                "a stall in the middle",
                "--count 25 --backlog 64 --rate 50 --stall 200ms --stall-after 20",
            ),
        ];
        let batch = trace_load(&variants.map(|(name, load)| (name, format!("-q {load}"))));
        for part in &batch.parts {
            let waits = part.truth.waits_us;
            match part.name.as_str() {
                "everyone stalled" => assert!(waits.min >= 200_000, "the load itself: {waits:?}"),
                "a stall in the middle" => {
                    // It only affects the maximum.
                    let fits = waits.max > 150_000 && waits.p50 < 100_000;
                    assert!(fits, "the load itself: {waits:?}");
                }
                _ => {}
            }
            assert_agree(part);
        }
    });
}

/// Asserts that each accepted connection has a wait, and that the median and the maximum agree.
fn assert_agree(part: &Part<Truth>) {
    let Part { name, truth, .. } = part;
    let Summary { wait_us, accepted, .. } = part.summary();
    let waits = &truth.waits_us;
    assert_eq!(*accepted, truth.accepted, "{name}: accepted");
    assert_eq!(waits.count, truth.accepted, "{name}: the load itself");
    assert_eq!(wait_us.count(), waits.count, "{name}: waits in the histogram");
    assert_within(name, "p50", [waits.p50, waits.p50_at_most], wait_us.p50, wait_us);
    assert_within(name, "max", [waits.max, waits.max_at_most], wait_us.max, wait_us);
}

/// The load knows when a client started to connect and when it noticed that it was connected: the
/// kernel has queued it in between.
fn assert_within(name: &str, what: &str, truth: [u64; 2], seen: Option<f64>, all: &Distribution) {
    let [least, most] = truth.map(|us| us as f64);
    let seen = seen.unwrap_or_default();
    let tolerance = |us: f64| TOLERANCE_US + us * ERROR;
    assert!(
        least - tolerance(least) <= seen && seen <= most + tolerance(most),
        "{name}: {what}: the tool says {seen} us, the load {least} to {most} us; {all:?}"
    );
}
