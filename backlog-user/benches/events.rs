//! How many events a second go through one core: decoded; written into the model; shown by
//! a view. `cargo xtask bench --part events` runs it and holds it to its budget.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on may panic")]

#[path = "events/streams.rs"]
#[expect(dead_code, reason = "a test has streams of its own")]
mod streams;

use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

use backlog_user::bench::{Pipeline, Stage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use streams::{Counts, Stream};

/// Each stage and its name.
const STAGES: [(Stage, &str); 4] = [
    (Stage::Decode, "decode"),
    (Stage::Model, "decode + model"),
    (Stage::Table, "decode + model + view (table)"),
    (Stage::Json, "decode + model + view (json)"),
];

/// Records of a stream: 16 MB of them, more clients than the model remembers.
const RECORDS: u64 = 1 << 18;
/// Listeners that come and go, and how many there are at a time.
const PASSING: (u32, u32) = (1 << 12, 1 << 8);
/// Listeners that are counted.
const COUNTED: u32 = 10_000;

fn stages(criterion: &mut Criterion) {
    for (stage, name) in STAGES {
        let mut group = criterion.benchmark_group(name);
        let mut records = |name: &str, listeners: u32, mut stream: Stream| {
            group.throughput(Throughput::Elements(stream.len()));
            group.bench_function(name, |bencher| {
                let mut pipeline = pipeline(stage);
                let mut time_ns = 0;
                pipeline.records(streams::opened(listeners).bytes()).expect("it is a sink");
                bencher.iter_custom(|passes| {
                    let pass = || {
                        // The ring's memory has just been written, and time goes on.
                        stream.advance();
                        time_ns += stream.span_ns();
                        let start = cpu_time();
                        pipeline.records(stream.bytes()).expect("it is a sink");
                        pipeline.interval(time_ns).expect("it is a sink");
                        cpu_time().saturating_sub(start)
                    };
                    std::iter::repeat_with(pass).take(times(passes)).sum::<Duration>()
                });
                assert_eq!(pipeline.decode_errors(), 0);
            });
        };
        records("flood", 1, streams::flood(1, RECORDS));
        records("flood of 100 listeners", 100, streams::flood(100, RECORDS));
        let (listeners, open) = PASSING;
        records("listeners open and close", 0, streams::passing(open, listeners));
        group.throughput(Throughput::Elements(COUNTED.into()));
        group.sample_size(10);
        group.bench_function("counts of 10,000 listeners", |bencher| {
            let mut pipeline = pipeline(stage);
            pipeline.records(streams::opened(COUNTED).bytes()).expect("it is a sink");
            let mut counts = Counts::new(0..COUNTED);
            let mut time_ns = 1_000_000_000;
            bencher.iter_custom(|passes| {
                let pass = || {
                    counts.advance();
                    time_ns += 1_000_000_000;
                    let start = cpu_time();
                    pipeline.counts(time_ns, counts.ended, &counts.all).expect("it is a sink");
                    pipeline.interval(time_ns).expect("it is a sink");
                    cpu_time().saturating_sub(start)
                };
                std::iter::repeat_with(pass).take(times(passes)).sum::<Duration>()
            });
        });
        group.finish();
    }
}

fn pipeline(stage: Stage) -> Pipeline {
    // A file and not a sink: a system call for each line would be seen.
    let out = File::options().write(true).open("/dev/zero").expect("every Linux has it");
    Pipeline::new(stage, BufWriter::new(out))
}

/// What this thread has had of a core: who else runs on the machine is not in it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

fn times(passes: u64) -> usize {
    usize::try_from(passes).unwrap_or(usize::MAX)
}

criterion_group! {
    name = events;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = stages
}
criterion_main!(events);
