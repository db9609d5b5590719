//! Measures the size of a recording, which docs/RECORDING.md states. `cargo test -p backlog-user
//! how_large -- --nocapture` prints it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use backlog_core::counter::Range;
use backlog_core::counter::Reading;
use backlog_core::event::Moves;
use backlog_core::event::{
    Accepts, Caller, Count, DropEvent, Event, LastAccept, ListenerId, SoFar, What,
};
use backlog_core::model::reconcile::Blind;
use backlog_core::recording::options::ReplayOptions;
use backlog_core::settings::Settings;
use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};
use backlog_ebpf::totals::Totals;
use fastrand::Rng;

use super::made_up::{NETNS, SECOND, listener, meta};
use crate::output::record::{RecordOptions, Recorder};

const ID: ListenerId = ListenerId(1);
/// Connections per second.
const RATE: u64 = 10_000;

/// Sorts values into their buckets.
fn moves(values: impl Iterator<Item = u64>, buckets: usize) -> Moves {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(bucket(value, buckets)).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// One second of a busy listener: waits from microseconds to a second, depths up to 128.
fn second(number: u64, rng: &mut Rng, totals: &mut Totals) -> Vec<Event> {
    let time_ns = number * SECOND + rng.u64(..SECOND);
    let waits = moves((0..RATE).map(|_| 1_u64 << rng.u32(3..20) | rng.u64(..8192)), WAITS);
    let depths = moves((0..RATE).map(|_| rng.u64(..128).min(rng.u64(..128))), DEPTHS);
    totals.enqueued += RATE;
    totals.accepted += RATE;
    totals.peak_ns = time_ns;
    let count = Count {
        totals: *totals,
        recent_peak: 129,
        recent_longest_ns: rng.u64(..SECOND),
        waits,
        depths,
        last_accept: Some(LastAccept { time_ns, pid: 4_000_000, tid: 4_000_001 }),
        free_ns: rng.u64(..time_ns.max(1)),
        idle_moved_ns: rng.u64(..SECOND),
        accepted_ns: time_ns,
        paced: rng.u64(..RATE),
        paced_ns: rng.u64(..SECOND),
        accepts: (0..4).map(|worker| accepts(4_000_000 + worker, rng.u64(..RATE / 4))).collect(),
        other_accepts: 0,
        stalled_ns: 0,
        filled_ns: time_ns,
    };
    let range = |value| Range { low: value, high: value + 1 };
    let mut moved = Reading::default();
    moved.fill(Some(range(number * 1000)));
    [
        What::Count { listener: ID, count: Box::new(count) },
        What::Namespace { netns: NETNS.into(), settings: Settings::default() },
        What::Counters { netns: NETNS.into(), moved: Box::new(moved) },
        What::DepthSample { listener: ID, depth: rng.u32(..128), limit: 128 },
        What::SkDrops { listener: ID, moved: range(number * 1000) },
    ]
    .map(|what| Event { time_ns, what })
    .to_vec()
}

fn drop_at(number: u64, rng: &mut Rng) -> Event {
    let client = SocketAddr::from((Ipv4Addr::new(10, 1, rng.u8(..), rng.u8(..)), rng.u16(1024..)));
    let drop = DropEvent {
        listener: ID,
        cause: Cause::AcceptQueueFullSyn,
        client,
        isn: rng.u32(..),
        depth: 129,
        limit: 128,
        syn_queue: rng.u32(..128),
        cpu: rng.u32(..8),
        trough: rng.u32(..128),
        free_ns: rng.u64(..number.max(1) * 1_000_000),
        accepted_ns: number * 1_000_000,
        so_far: Some(SoFar {
            paced: u32::try_from(number).unwrap(),
            paced_ns: number * 1_000_000 - number % 997,
            stalled_ns: 0,
            arrived: u32::try_from(number).unwrap() + 129,
            filled_ns: number * 1_000_000 - number % 1000,
            records_suppressed: 0,
            suppressed_clients: 0,
            suppressed_retries: 0,
        }),
        fin: false,
        retry: false,
    };
    Event { time_ns: number * 1_000_000 + rng.u64(..1_000_000), what: What::Drop(drop) }
}

/// Bytes of a second, and of a drop, in a file with this name.
fn measure(name: &str) -> (u64, u64) {
    const SECONDS: u64 = 60;
    const DROPS: u64 = 10_000;
    let folder = super::folder();
    let path = folder.path().join(name);
    let wanted = RecordOptions { path: path.clone(), rotate: None, keep: 1 };
    let mut recorder = Recorder::create(Some(&wanted)).unwrap();
    recorder.start(&crate::clock::start(), &meta(), ReplayOptions::default());
    recorder.event(&Event { time_ns: 0, what: What::Listener(listener(1, "0.0.0.0:8000")) });
    recorder.flush();
    let size = || fs::metadata(&path).unwrap().len();
    let rng = &mut Rng::with_seed(8);
    let mut totals = Totals::default();
    let before = size();
    for number in 0..SECONDS {
        for event in second(number, rng, &mut totals) {
            recorder.event(&event);
        }
        recorder.interval(number * SECOND, &Blind::default());
    }
    let between = size();
    for number in 0..DROPS {
        recorder.event(&drop_at(number, rng));
        // Drops are recorded in batches of a hundred.
        if number % 100 == 99 {
            recorder.flush();
        }
    }
    ((between - before) / SECONDS, (size() - between) / DROPS)
}

fn accepts(pid: u32, count: u64) -> Accepts {
    Accepts { process: Caller { pid, comm: "gunicorn".into() }, tid: pid, count }
}

#[test]
fn how_large_it_is() {
    for (name, most_second, most_drop) in [("run.jsonl", 5000, 350), ("run.zst", 2500, 60)] {
        let (second, drop) = measure(name);
        println!("{name}: {second} bytes a second and listener, {drop} bytes a drop");
        assert!(second <= most_second && drop <= most_drop, "{name}: {second}, {drop}");
    }
}
