//! An hour's worth of events at speed, through the way of a live run: what the tool holds
//! is bounded. It counts the bytes that are allocated, so it is alone in its process.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by a panic, as the test does")]

#[path = "../benches/events/streams.rs"]
#[expect(dead_code, reason = "the benchmark has streams of its own")]
mod streams;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use backlog_user::bench::{Pipeline, Stage};
use fastrand::Rng;
use streams::{Counts, relieved};

/// Bytes that are allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: it hands out and takes back what the system's does, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises; the system's has handed it out.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Listeners that are open at a time; all of them are relieved in each interval.
const OPEN: u32 = 1000;
/// Refusals of each, of clients that have never been there.
const REFUSALS: u32 = 100;
/// Ten million refusals, and a hundred thousand listeners.
const INTERVALS: u64 = 100;
/// What 3,000 listeners with distributions and 65,536 attempts take, with room to spare.
const MOST: usize = 128 << 20;

/// Bytes that are held after each interval.
fn held(stage: Stage, out: impl Write + 'static, intervals: u64) -> Vec<usize> {
    let rng = &mut Rng::with_seed(4);
    let mut banks = [0..OPEN, OPEN..2 * OPEN].map(|slots| (slots.clone(), Counts::new(slots)));
    let before = LIVE.load(Relaxed);
    let mut run = Pipeline::new(stage, out);
    let mut held = Vec::with_capacity(usize::try_from(intervals).unwrap());
    for number in 1..=intervals {
        banks.rotate_left(1);
        let [(old, _), (new, counts)] = &mut banks;
        // At first there is nobody to be relieved: those records cannot be read.
        let stream = relieved(number, rng, [old, new], REFUSALS);
        run.records(stream.bytes()).unwrap();
        drop(stream);
        counts.relieve();
        counts.advance();
        let now_ns = (number + 1) * 1_000_000_000;
        run.counts(now_ns, counts.ended, &counts.all).unwrap();
        run.interval(now_ns).unwrap();
        held.push(LIVE.load(Relaxed).saturating_sub(before));
    }
    assert_eq!(run.decode_errors(), u64::from(OPEN));
    held
}

fn assert_bounded(held: &[usize]) {
    let (first, second) = held.split_at(held.len() / 2);
    let most = |held: &[usize]| held.iter().copied().max().unwrap();
    assert!(most(second) * 100 <= most(first) * 101, "it grows: {held:?}");
    assert!(most(second) < MOST, "{held:?}");
}

#[test]
fn an_hour_of_events_is_held_in_bounded_memory() {
    assert_bounded(&held(Stage::Table, io::sink(), INTERVALS));
    // The same book; that the view adds nothing shows much sooner.
    assert_bounded(&held(Stage::Json, io::sink(), INTERVALS / 10));
}
