//! Tests that a slow reader loses nothing, that the losses of a stalled one are counted, and that
//! neither blocks the writer.

use super::queue::Queue;
use super::{Lost, OnStall, Outlet, STALL, Target};
use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn pipe(on_stall: OnStall) -> (PipeReader, Outlet) {
    let (reader, writer) = io::pipe().unwrap();
    let target = Target::File(File::from(OwnedFd::from(writer)));
    (reader, Outlet::open(target, on_stall).unwrap())
}

/// A line; all of them exceed the queue and the pipe.
fn line(number: usize) -> String {
    format!("{number:>9} {}\n", "x".repeat(64 << 10))
}

#[test]
fn what_is_written_comes_in_its_order() {
    let (mut reader, mut outlet) = pipe(OnStall::Lose);
    let mut other = outlet.clone();
    write!(outlet, "one ").unwrap();
    outlet.flush().unwrap();
    write!(other, "two ").unwrap();
    other.flush().unwrap();
    write!(outlet, "three").unwrap();
    assert_eq!(outlet.finish().unwrap(), Lost::default());
    drop((outlet, other));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one two three");
}

#[test]
fn a_slow_reader_loses_nothing() {
    let (mut reader, mut outlet) = pipe(OnStall::Lose);
    let slow = thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), vec![0; 1 << 20]);
        loop {
            match reader.read(&mut part).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&part[..count]),
            }
            // Read more slowly than the writer, which writes more than the queue holds.
            thread::yield_now();
        }
    });
    let expected: String = (0..200).map(line).collect();
    for number in 0..200 {
        outlet.write_all(line(number).as_bytes()).unwrap();
        outlet.flush().unwrap();
    }
    assert_eq!(outlet.finish().unwrap(), Lost::default());
    drop(outlet);
    assert!(slow.join().unwrap() == expected.as_bytes());
}

#[test]
fn a_stalled_reader_loses_whole_lines_that_are_counted() {
    let (mut reader, mut outlet) = pipe(OnStall::Lose);
    let mut written = 0;
    while outlet.news().is_none() {
        outlet.write_all(line(written).as_bytes()).unwrap();
        outlet.flush().unwrap();
        written += 1;
    }
    // From now on, nothing waits.
    let start = Instant::now();
    for _ in 0..100 {
        outlet.write_all(line(written).as_bytes()).unwrap();
        outlet.flush().unwrap();
        written += 1;
    }
    assert!(start.elapsed() < STALL, "{:?}", start.elapsed());
    let (sender, rest) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        sender.send(text).unwrap();
    });
    // Once it reads again, it gets what was queued and the last line.
    let lost = loop {
        if let Some(news) = outlet.news() {
            let (_, lost) = news.split_once("meanwhile: ").unwrap();
            break lost.parse::<usize>().unwrap();
        }
        thread::yield_now();
    };
    outlet.write_all(b"the last\n").unwrap();
    assert_eq!(outlet.finish().unwrap().lines, lost);
    drop(outlet);
    reading.join().unwrap();
    let text = rest.recv().unwrap();
    let whole = text.lines().filter(|line| line.len() == 10 + (64 << 10)).count();
    assert_eq!(whole + lost, written);
    assert_eq!(text.lines().count(), whole + 1);
    assert!(text.ends_with("\nthe last\n"));
}

#[test]
fn the_end_waits_for_a_stalled_reader_for_a_bounded_time() {
    let (_reader, mut outlet) = pipe(OnStall::Lose);
    outlet.write_all(line(0).as_bytes()).unwrap();
    outlet.write_all(line(1).as_bytes()).unwrap();
    let lost = outlet.finish().unwrap();
    assert_eq!(lost.lines, 2);
    assert!(lost.bytes > 60 << 10, "{lost:?}");
}

#[test]
fn an_output_of_which_no_part_may_be_missing_fails() {
    let (_reader, mut outlet) = pipe(OnStall::Fail);
    outlet.write_all(line(0).as_bytes()).unwrap();
    outlet.write_all(line(1).as_bytes()).unwrap();
    let error = outlet.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("has taken nothing for 3 s"), "{error}");
}

#[test]
fn a_reader_that_is_gone_is_an_error() {
    let (reader, mut outlet) = pipe(OnStall::Lose);
    drop(reader);
    outlet.write_all(b"a line\n").unwrap();
    let error = outlet.settle(Duration::from_mins(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let error = outlet.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn at_the_end_of_a_run_nothing_waits_and_nothing_is_lost() {
    let queue = Queue::new(OnStall::Lose);
    let mut text = line(0).into_bytes();
    for _ in 0..200 {
        // There is no thread that writes, and this is more than the queue normally takes.
        queue.push(&mut text.clone(), || true).unwrap();
    }
    assert!(queue.is_behind());
    queue.push(&mut text, || true).unwrap();
    assert_eq!(queue.news(), None);
    assert_eq!(queue.finish().unwrap().lines, 201);
}
