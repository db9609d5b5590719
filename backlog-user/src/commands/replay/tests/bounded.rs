//! Tests that a recording cannot exceed its bounds of memory and time, whatever it contains: what
//! fits is shown, and exceeding a bound ends the replay with a reason.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use backlog_core::clock::Mark;
use backlog_core::event::{
    Accepts, Caller, Closed, Count, Event, Listener, ListenerId, Netns, What,
};
use backlog_core::model::reconcile::Blind;
use backlog_core::recording::bounds;
use backlog_core::recording::line::Step;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::made_up::{NETNS, SECOND, header, listener, steps};
use super::{folder, record, replay, sink};
use crate::commands::replay::player::Player;
use crate::commands::replay::source::{Source, Text};
use crate::output::csv::Csv;
use crate::output::json::Json;

/// Plays steps until the first error.
fn play(steps: impl IntoIterator<Item = Step>, work: u64) -> Result<(), String> {
    let mut sink = Csv::new(io::sink(), false);
    let mut player = Player::start(&header(), None, &mut sink).unwrap();
    player.work = work;
    let mut steps = steps.into_iter();
    steps.try_for_each(|step| player.step(&mut sink, step)).map_err(|error| error.to_string())
}

fn at(id: usize, netns: Netns) -> Step {
    let id = u32::try_from(id).unwrap();
    let [high, low, ..] = (id << 8).to_be_bytes();
    let local = format!("10.{high}.{low}.{}:80", id % 256);
    Step::Event(Event {
        time_ns: 0,
        what: What::Listener(Listener { netns, ..listener(id, &local) }),
    })
}

fn interval(time_ns: u64) -> Step {
    Step::Interval { time_ns, blind: Blind::default() }
}

#[track_caller]
fn both_sides(fits: Result<(), String>, beyond: Result<(), String>, why: &str) {
    fits.unwrap();
    let told = beyond.unwrap_err();
    assert!(told.starts_with("cannot show the recording: it has ") && told.contains(why), "{told}");
}

#[test]
fn listeners_namespaces_and_comparisons_of_clocks_are_bounded() {
    let all = |count| play((0..count).map(|id| at(id, NETNS.into())), bounds::WORK);
    let most = bounds::LISTENERS;
    both_sides(all(most), all(most + 1), "more listeners at a time than 32768;");
    let namespace = |id| What::Baseline { netns: Netns::new(u32::try_from(id).unwrap(), 1) };
    let all = |count| {
        let steps = (0..count).map(|id| Step::Event(Event { time_ns: 0, what: namespace(id) }));
        play(steps, bounds::WORK)
    };
    let most = bounds::NAMESPACES;
    both_sides(all(most), all(most + 1), "more network namespaces at a time than 32768;");
    let mark = |id| Mark { monotonic_ns: id as u64, offset_ns: 0 };
    let all =
        |count| play((0..count).map(|id| Step::Clock { mark: mark(id), set: None }), bounds::WORK);
    let most = bounds::CLOCK_MARKS;
    both_sides(all(most), all(most + 1), "more comparisons of the clocks than 65536;");
}

/// An interval of 50 bytes causes work for each listener.
#[test]
fn work_is_bounded() {
    let run = |intervals: u64, work| {
        let found = (0..100).map(|id| at(id, NETNS.into()));
        play(found.chain((1..=intervals).map(|second| interval(second * SECOND))), work)
    };
    // Each interval is one step, plus one for each listener and one for their namespace.
    both_sides(run(50, 100 + 50 * 102), run(51, 100 + 50 * 102), "more steps than 8589934592;");
}

/// Writes a header and these lines.
fn write(path: &Path, lines: &[u8]) {
    let mut file = fs::File::create(path).unwrap();
    serde_json::to_writer(&mut file, &serde_json::json!({ "header": header() })).unwrap();
    file.write_all(b"\n").unwrap();
    file.write_all(lines).unwrap();
}

/// Reads these lines after a header, and returns the error that ends the reading.
fn read(path: &Path, lines: &[u8], text: Text) -> Result<(), String> {
    write(path, lines);
    let (_, mut source) = Source::open(path).unwrap();
    source.text = text;
    let ended = source.by_ref().find_map(Result::err).map(|beyond| beyond.to_string());
    // The error ends the steps.
    assert!(ended.is_none() || source.next().is_none());
    ended.map_or(Ok(()), Err)
}

#[test]
fn lines_that_stand_for_many_events_are_bounded() {
    let folder = folder();
    let path = folder.path().join("run");
    let level = br#"{"event":{"time_ns":1,"what":{"level":{"listener":1,"depth":3,"limit":16}}}}"#;
    let run = |ranges: usize| {
        let ids = vec!["[1,1]"; ranges].join(",");
        let same = format!("\n{{\"same\":{{\"time_ns\":1,\"of\":\"level\",\"ids\":[{ids}]}}}}\n");
        read(&path, &[&level[..], same.as_bytes()].concat(), Text::default())
    };
    both_sides(run(1000), run(bounds::ENTRIES + 1), "a list with more entries than 65536;");
    let range = |last: u64| {
        let same =
            format!("{{\"same\":{{\"time_ns\":1,\"of\":\"level\",\"ids\":[[1,{last}]]}}}}\n");
        read(&path, same.as_bytes(), Text::default())
    };
    let most = bounds::REPEATED;
    both_sides(range(most), range(most + 1), "a line that repeats more events than 131072;");
    assert!(range(u64::MAX).is_err());
}

/// A count whose thread has a name of this length.
fn count(name: usize) -> Event {
    let process = Caller { pid: 1, comm: "x".repeat(name) };
    let accepts = vec![Accepts { process, tid: 1, count: 1 }];
    let count = Box::new(Count { accepts, ..Count::default() });
    Event { time_ns: 1, what: What::Count { listener: ListenerId(1), count } }
}

/// A short line can repeat a long value. Each repetition is created only after the last one was
/// taken, and its size counts against memory and work.
#[test]
fn repeated_values_are_bounded_by_their_size() {
    let folder = folder();
    let path = folder.path().join("run");
    let taken = |resident| {
        let mut lines = serde_json::to_string(&serde_json::json!({ "event": count(1 << 20) }));
        let ids = vec!["[1,1]"; 50].join(",");
        let same = format!("\n{{\"same\":{{\"time_ns\":1,\"of\":\"count\",\"ids\":[{ids}]}}}}\n");
        lines.as_mut().unwrap().push_str(&same);
        write(&path, lines.unwrap().as_bytes());
        let (_, mut source) = Source::open(&path).unwrap();
        source.text.resident = resident;
        source.by_ref().take_while(Result::is_ok).count()
    };
    // The end, which was not recorded, is added.
    assert_eq!(taken(|| Some(bounds::MEMORY_BYTES)), 1 + 50 + 1);
    // The first check happens after the value itself and six repetitions.
    assert_eq!(taken(|| Some(bounds::MEMORY_BYTES + 1)), 7);
    let run = |work| play((0..3).map(|_| Step::Event(count(1 << 20))), work);
    both_sides(run(3 * 1026), run(3 * 1025 - 1), "more steps than 8589934592;");
}

/// The first lines of all files of a rotated recording are read before anything is shown.
#[test]
fn first_lines_are_short() {
    let folder = folder();
    let path = folder.path().join("run");
    let open = |length: u64| {
        let mut line = serde_json::to_string(&serde_json::json!({ "header": header() })).unwrap();
        line.push_str(&" ".repeat(usize::try_from(length).unwrap() - line.len() - 1));
        fs::write(&path, line + "\n").unwrap();
        Source::open(&path).map(drop).map_err(|error| format!("{error:#}"))
    };
    let most = bounds::HEADER_BYTES;
    both_sides(open(most), open(most + 1), "a first line with more bytes than 8388608;");
}

/// The name of an older file belongs to a pipe without a writer.
#[test]
fn nobody_waits_for_the_writer_of_a_pipe() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, Some((1, 1)), &steps(3));
    let older = sink::part(&path, 1);
    fs::remove_file(&older).unwrap();
    mknodat(CWD, &older, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let (opened, open) = channel();
    std::thread::spawn(move || opened.send(Source::open(&path).is_ok()));
    assert_eq!(open.recv_timeout(Duration::from_mins(1)), Ok(true));
}

#[test]
fn lines_are_bounded_in_number_length_and_sum() {
    let folder = folder();
    let path = folder.path().join("run");
    let empty =
        |count: u64| read(&path, &vec![b'\n'; usize::try_from(count).unwrap()], Text::default());
    let most = bounds::UNREADABLE;
    both_sides(empty(most), empty(most + 1), "more lines that cannot be read than 65536;");
    let long = |length: u64| {
        let mut line = vec![b' '; usize::try_from(length).unwrap()];
        *line.last_mut().unwrap() = b'\n';
        read(&path, &line, Text::default())
    };
    let most = bounds::LINE_BYTES;
    both_sides(long(most), long(most + 1), "a line with more bytes than 67108864;");
    let sum = |most| read(&path, &[b'\n'; 100], Text::up_to(most));
    both_sides(sum(100), sum(99), "more bytes of text than 99; replay a copy of one of its files");
    // Memory is checked from time to time.
    let takes = |resident| {
        let mut text = Text::default();
        text.resident = resident;
        let mut line = vec![b' '; 10 << 20];
        line.push(b'\n');
        read(&path, &line, text)
    };
    let (fits, beyond): (fn() -> _, fn() -> _) =
        (|| Some(bounds::MEMORY_BYTES), || Some(bounds::MEMORY_BYTES + 1));
    both_sides(takes(fits), takes(beyond), "takes more bytes of memory than 3221225472;");
}

#[test]
fn cpus_are_bounded() {
    let folder = folder();
    let path = folder.path().join("run");
    let run = |cpu: u32| {
        let line = format!(
            "{{\"event\":{{\"time_ns\":1,\"what\":{{\"drop\":{{\"listener\":1,\"cause\":\
             \"accept_queue_full_syn\",\"client\":\"10.0.0.1:80\",\"isn\":1,\"depth\":1,\"limit\":1,\
             \"syn_queue\":0,\"cpu\":{cpu}}}}}}}}}\n"
        );
        read(&path, line.as_bytes(), Text::default())
    };
    both_sides(run(bounds::CPUS - 1), run(bounds::CPUS), "more CPUs than 8192;");
}

#[test]
fn the_window_of_zstd_is_bounded() {
    let folder = folder();
    let path = folder.path().join("run.zst");
    record(&path, None, &steps(1));
    let text = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    let open = |window| {
        let mut out = zstd::Encoder::new(fs::File::create(&path).unwrap(), 1).unwrap();
        out.window_log(window).unwrap();
        out.write_all(&text).unwrap();
        out.finish().unwrap();
        Source::open(&path).map(drop).map_err(|error| format!("{error:#}"))
    };
    let most = bounds::WINDOW_LOG;
    both_sides(open(most), open(most + 1), "a zstd window with more bytes than 134217728;");
}

/// Counts and times may be as large as their type permits: no sum of them wraps around.
#[test]
fn the_largest_numbers_are_shown() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(3));
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let mut lines: Vec<Value> =
        rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["time_ns", "enqueued", "accepted", "count", "drops", "beside", "low", "high", ""] {
        for line in &mut lines {
            enlarge(line, name, name.is_empty());
        }
        let all: Vec<String> = lines.iter().map(Value::to_string).collect();
        fs::write(&path, format!("{head}\n{}\n", all.join("\n"))).unwrap();
        replay(&path);
    }
}

/// Enlarges numbers that have this name, or are within a value with it.
fn enlarge(value: &mut Value, name: &str, is_within: bool) {
    match value {
        Value::Number(number) if is_within && number.as_u64() > Some(u32::MAX.into()) => {
            *value = u64::MAX.into();
        }
        Value::Number(_) if is_within => *value = (u64::MAX >> 1).into(),
        Value::Array(all) => all.iter_mut().for_each(|one| enlarge(one, name, is_within)),
        Value::Object(all) => {
            all.iter_mut().for_each(|(key, one)| enlarge(one, name, is_within || key == name));
        }
        _ => {}
    }
}

/// These were quadratic once: at this size, only linear work ends in reasonable time.
#[test]
fn thousands_of_listeners_at_one_address_are_shown() {
    const COUNT: u32 = 6_000;
    let one = |id| Listener { reuseport: Some(true), ..listener(id, "10.0.0.1:80") };
    let mut all = Vec::new();
    let mut event = |time_ns, what| all.push(Step::Event(Event { time_ns, what }));
    for id in 1..=COUNT {
        event(u64::from(id), What::Listener(one(id)));
    }
    for id in (1..=COUNT).rev() {
        let closed = Closed { listener: ListenerId(id), depth: 1, syn_queue: 0 };
        event(SECOND, What::Closed(closed));
    }
    all.extend([interval(SECOND), interval(2 * SECOND)]);
    let end = steps(1).pop().unwrap();
    assert_eq!(summaries(all.clone().into_iter().chain([end.clone()])), COUNT as usize);
    // After their eviction, no state is left.
    all.extend([interval(3 * SECOND), end]);
    assert_eq!(summaries(all), 0);
}

/// The number of summary lines in JSON.
fn summaries(steps: impl IntoIterator<Item = Step>) -> usize {
    let mut json = Vec::new();
    let mut sink = Json::new(&mut json, false);
    let mut player = Player::start(&header(), None, &mut sink).unwrap();
    steps.into_iter().for_each(|step| player.step(&mut sink, step).unwrap());
    String::from_utf8(json).unwrap().matches("\"type\":\"summary\"").count()
}

/// A file after the first one begins with the state of the run. If only that file is left, it is
/// shown.
#[test]
fn a_recording_with_nothing_but_a_beginning_is_short() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, Some((1, 1)), &steps(3));
    assert!(replay(&path).1[0].contains("first files are gone"));
}
