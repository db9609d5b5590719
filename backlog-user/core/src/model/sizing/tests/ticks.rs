//! The length of the intervals changes neither the verdict nor its numbers.

use fastrand::Rng;

use super::simulated::Load;
use super::{MS, SECOND, any_load, burst, by_chance, judged, steady};

fn assert_the_same(load: &Load, limit: u32) {
    let judged = |interval_ns| judged(&Load { interval_ns, ..load.clone() }, limit).0;
    let by_seconds = judged(SECOND);
    for interval_ns in [SECOND / 10, SECOND / 3, 10 * SECOND, load.end_ns] {
        assert_eq!(judged(interval_ns), by_seconds, "{interval_ns}");
    }
}

#[test]
fn any_load_is_judged_the_same() {
    let mut random = Rng::with_seed(15);
    for _ in 0..40 {
        let (load, limit) = (any_load(&mut random), random.u32(4..64));
        assert_the_same(&load, limit);
    }
}

#[test]
fn so_is_a_busy_acceptor() {
    let mut random = Rng::with_seed(16);
    for workers in [1, 4] {
        let arrivals = by_chance(&mut random, 12, 80.0);
        let load = Load::of(arrivals, 9 * MS * workers as u64, 24 * SECOND);
        assert_the_same(&Load { varies: true, workers, ..load }, 4);
    }
}

#[test]
fn so_are_one_that_is_too_slow_and_one_that_stops() {
    assert_the_same(&Load::of(steady(MS, 20 * SECOND, 150), 10 * MS, 20 * SECOND), 16);
    let stalls = vec![(4 * SECOND, 100 * SECOND)];
    let load = Load::of(steady(MS, 12 * SECOND, 30), MS, 12 * SECOND);
    assert_the_same(&Load { stalls: stalls.clone(), ..load.clone() }, 16);
    // With this limit, the stalls refuse no client.
    assert_the_same(&Load { stalls, ..load }, 1000);
    let stalls = vec![(4 * SECOND, 7 * SECOND)];
    assert_the_same(&Load { stalls, ..Load::of(burst(SECOND, 90), 40 * MS, 12 * SECOND) }, 16);
}
