//! Records synthetic runs to files and replays them.

mod bounded;
mod hostile;
mod made_up;
mod pages;
mod seeks;
mod sizes;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use backlog_core::event::{Event, ListenerId, What};
use backlog_core::model::reconcile::Blind;
use backlog_core::recording::line::{Header, Step};
use backlog_core::recording::options::ReplayOptions;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;

use super::judge_by;
use super::player::Player;
use super::source::Source;
use crate::output::csv::Csv;
use crate::output::json::Json;
use crate::output::record::{RecordOptions, Recorder, sink};
use crate::output::schema;
use crate::output::sink::Sink;
use crate::output::table::{Table, TextStyle};
use made_up::{SECOND, header, meta, steps};

/// The output of each sink.
#[derive(Debug, Default, PartialEq, Eq)]
struct Printed([Vec<u8>; 3]);

impl Printed {
    fn table(&self) -> &str {
        std::str::from_utf8(&self.0[0]).unwrap()
    }

    fn json(&self) -> &str {
        std::str::from_utf8(&self.0[1]).unwrap()
    }

    fn show(&mut self, header: &Header, steps: impl Iterator<Item = Step> + Clone) {
        let [table, json, csv] = &mut self.0;
        let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: true };
        show(&mut Table::new(table, look), header, steps.clone());
        show(&mut Json::new(json, false), header, steps.clone());
        show(&mut Csv::new(csv, false), header, steps);
    }
}

fn show(sink: &mut dyn Sink, header: &Header, steps: impl Iterator<Item = Step>) {
    let mut player = Player::start(header, None, sink).unwrap();
    for step in steps {
        player.step(sink, step).unwrap();
    }
}

/// Records a run as a session does, and returns the output.
fn record(path: &Path, rotate: Option<(u64, u32)>, steps: &[Step]) -> (Printed, Recorder) {
    let (rotate, keep) = rotate.unzip();
    let wanted = RecordOptions { path: path.to_owned(), rotate, keep: keep.unwrap_or(1) };
    let mut recorder = Recorder::create(Some(&wanted)).unwrap();
    let header = header();
    let mut clock = header.clock.clone();
    recorder.start(&clock, &header.meta, header.options);
    // The model provides the state that a rotated file begins with.
    let mut out = Vec::new();
    let mut sink = Csv::new(&mut out, false);
    let mut player = Player::start(&header, None, &mut sink).unwrap();
    for step in steps {
        match step {
            Step::Event(event) => recorder.event(event),
            Step::Clock { mark, set } => {
                clock.note(*mark);
                recorder.clock(&clock, *set);
            }
            Step::Begin { .. } => unreachable!("a run has none"),
            Step::Interval { time_ns, blind } => recorder.interval(*time_ns, blind),
            Step::Rest { time_ns } => recorder.rest(*time_ns),
            Step::Notice { time_ns, text } => recorder.notice(*time_ns, text),
            Step::End(end) => recorder.end(end),
        }
        player.step(&mut sink, step.clone()).unwrap();
        if let Step::Interval { time_ns, .. } = step {
            recorder.batch(player.clock(), player.model(), *time_ns);
        }
    }
    let mut printed = Printed::default();
    printed.show(&header, steps.iter().cloned());
    (printed, recorder)
}

/// Replays a file; returns its output and messages.
fn replay(path: &Path) -> (Printed, Vec<String>) {
    let (header, mut source) = Source::open(path).unwrap();
    let steps: Vec<Step> = source.by_ref().map(Result::unwrap).collect();
    let mut printed = Printed::default();
    printed.show(&header, steps.into_iter());
    (printed, source.remarks())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_is_replayed_is_what_was_recorded() {
    let folder = folder();
    let steps = steps(4);
    for name in ["run.jsonl", "run.zst"] {
        let path = folder.path().join(name);
        let (printed, recorder) = record(&path, None, &steps);
        assert_eq!(recorder.failure(), None);
        let (_, source) = Source::open(&path).unwrap();
        let read: Vec<Step> = source.map(Result::unwrap).collect();
        assert_eq!(format!("{read:#?}"), format!("{steps:#?}"));
        let types = schema::check_lines(printed.json());
        assert!(types.contains("acceptor") && types.contains("accept_errors"), "{types:?}");
        insta::assert_snapshot!("made_up_json", printed.json());
        assert_eq!(replay(&path), (printed, Vec::new()));
    }
    let plain = fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
    insta::assert_snapshot!(plain);
    assert_eq!(fs::read(folder.path().join("run.zst")).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
}

/// Replays a recording with a longer and a shorter client timeout.
#[test]
fn another_client_timeout_judges_a_run_anew() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/replay/fixtures/overload.jsonl");
    let verdict = |client_timeout: Option<&str>| {
        let (mut header, source) = Source::open(&path).unwrap();
        judge_by(&mut header, client_timeout).unwrap();
        let mut printed = Printed::default();
        let steps: Vec<Step> = source.map(Result::unwrap).collect();
        printed.show(&header, steps.into_iter());
        let table = printed.table();
        let line = table.lines().find(|line| line.starts_with("  sizing ")).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(verdict(Some("200ms")), "add_workers");
    assert_eq!(verdict(Some("1m")), "raise");
    assert_eq!(verdict(None), "raise");
    assert!(judge_by(&mut header(), Some("soon")).is_err());
}

/// A recording of a server with a backlog of 1 that accepts ten times a second, overrun by nine
/// clients.
#[test]
fn a_real_run_in_every_view() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/replay/fixtures/overload.jsonl");
    let (printed, remarks) = replay(&path);
    assert!(remarks.is_empty(), "{remarks:?}");
    let table = printed.table();
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    insta::assert_snapshot!("overload_table", table);
    insta::assert_snapshot!("overload_csv", std::str::from_utf8(&printed.0[2]).unwrap());
    assert!(schema::check_lines(printed.json()).contains("summary"));
    insta::assert_snapshot!("overload_json", printed.json());
}

#[test]
fn a_recording_that_is_cut_anywhere_is_shown_as_far_as_it_goes() {
    let folder = folder();
    for name in ["run.jsonl", "run.zst"] {
        let path = folder.path().join(name);
        record(&path, None, &steps(2));
        let whole = fs::read(&path).unwrap();
        let (_, full) = (name, replay(&path).0);
        let cut_path = folder.path().join("cut");
        let mut shown = 0;
        for length in (0..whole.len()).rev().step_by(31) {
            fs::write(&cut_path, &whole[..length]).unwrap();
            let Ok((header, mut source)) = Source::open(&cut_path) else { continue };
            shown += 1;
            let mut printed = Printed::default();
            printed
                .show(&header, source.by_ref().map(Result::unwrap).collect::<Vec<_>>().into_iter());
            let table = printed.table();
            assert!(table.contains("Summary of"), "{length}: {table}");
            let remarks = source.remarks();
            assert!(!remarks.is_empty(), "{length}");
            if table.contains("Incomplete: ") {
                assert!(full.table().contains(table.lines().next().unwrap()));
            }
        }
        // All but those that are cut within the first line or the first compressed block.
        assert!(shown * 31 > whole.len() / 4, "{name}: {shown}");
    }
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_left_out() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(2));
    let lines = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.insert(3, "garbage");
    lines.insert(5, r#"{"event":{"time_ns":1,"what":{"drop":{"listener":1,"cause":"magic"}}}}"#);
    lines.insert(6, r#"{"same":{"time_ns":1,"of":"level","ids":[[77,99]]}}"#);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (printed, remarks) = replay(&path);
    assert_eq!(remarks, ["3 lines could not be read and were skipped"]);
    assert!(printed.table().contains("drops        6 packets"), "{}", printed.table());
}

#[test]
fn what_is_no_recording_or_a_newer_one_is_refused_with_a_cure() {
    let folder = folder();
    let path = folder.path().join("run");
    for (text, cure) in [
        ("", "is not a backlog-trace recording"),
        ("TIME LISTENER\n", "is not a backlog-trace recording"),
        ("{\"type\":\"meta\"}\n", "is not a backlog-trace recording"),
        ("{\"header\":{\"format\":2,\"all\":\"else\"}}\n", "or a newer one"),
        ("{\"header\":{\"format\":1,\"meta\":{\"backend\":\"a\\nb\"}}}\n", "unknown variant `a?b`"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Source::open(&path).err().unwrap();
        assert!(format!("{error:#}").contains(cure), "{error:#}");
    }
    let error = Source::open(&folder.path().join("none")).err().unwrap();
    assert!(format!("{error:#}").contains("cannot open"), "{error:#}");
}

#[test]
fn a_rotated_recording_is_read_as_one() {
    let folder = folder();
    let path = folder.path().join("run.zst");
    let steps = steps(40);
    // Rotating at one byte gives each interval a file of its own.
    let (printed, recorder) = record(&path, Some((1, 100)), &steps);
    assert_eq!(recorder.failure(), None);
    assert!(sink::part(&path, 40).exists());
    assert_eq!(replay(&path), (printed, Vec::new()));
}

#[test]
fn what_remains_of_a_rotated_recording_has_the_sums_of_all() {
    let folder = folder();
    let path = folder.path().join("run");
    let steps = steps(40);
    // Files that another run has left behind are not read.
    record(&sink::part(&path, 4), None, &steps[..30]);
    let (printed, _) = record(&path, Some((1, 3)), &steps);
    assert!(!sink::part(&path, 4).with_extension("5").exists());
    let (again, remarks) = replay(&path);
    assert!(remarks[0].contains("first files are gone"), "{remarks:?}");
    // The summaries are equal, except for earlier refusals.
    let summary = |printed: &Printed| {
        let text = printed.table().split_once("Summary of").unwrap().1;
        // The numbers of clients and their text differ.
        let (before, after) = text.split_once("  clients ").unwrap();
        let (advice, after) = after.split_once("\n\n").unwrap();
        assert!(advice.contains("13 got in later") && advice.contains("120 packets refused"));
        let (drops, clients) = before.split_once("120 packets of ").unwrap();
        let (_, causes) = clients.split_once('\n').unwrap();
        [drops, causes, after].concat()
    };
    assert_eq!(summary(&again), summary(&printed));
    let rows =
        |printed: &Printed| printed.table().lines().filter(|line| line.contains("/16")).count();
    assert!(rows(&again) < rows(&printed) / 4, "{}", again.table());
}

#[test]
fn a_full_disk_is_said_once() {
    let (_, mut recorder) = record(Path::new("/dev/full"), None, &steps(3));
    let told = recorder.complaint().unwrap();
    assert!(told.contains("/dev/full is incomplete: No space left"), "{told}");
    assert_eq!(recorder.complaint(), None);
    assert_eq!(recorder.failure(), Some(told.as_str()));
}

#[test]
fn a_file_that_is_there_is_kept() {
    let folder = folder();
    let path = folder.path().join("run");
    fs::write(&path, "precious").unwrap();
    record(&path, None, &steps(1));
    assert_eq!(fs::read_to_string(folder.path().join("run.old")).unwrap(), "precious");
    assert!(replay(&path).1.is_empty());
    let wanted = RecordOptions { path: folder.path().join("no/such/run"), rotate: None, keep: 1 };
    let error = Recorder::create(Some(&wanted)).err().unwrap();
    assert!(format!("{error:#}").contains("no/such/run"), "{error:#}");
    // A directory stands for anything that is not a regular file, so that the test needs no device.
    let wanted = RecordOptions { path: folder.path().to_owned(), rotate: Some(1), keep: 1 };
    assert!(Recorder::create(Some(&wanted)).is_err());
}

#[test]
fn a_longer_interval_sums_those_that_were_recorded() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(6));
    let (header, source) = Source::open(&path).unwrap();
    let mut out = Vec::new();
    let mut sink = Csv::new(&mut out, false);
    let every = Some(Duration::from_secs(3));
    let mut player = Player::start(&header, every, &mut sink).unwrap();
    for step in source {
        player.step(&mut sink, step.unwrap()).unwrap();
    }
    drop(sink);
    let text = String::from_utf8(out).unwrap();
    let busy: Vec<&str> = text.lines().filter(|line| line.contains(",8000,")).collect();
    assert_eq!(busy.len(), 2, "{text}");
    assert!(busy[0].contains(",3.000000,") && busy[0].contains(",16,150,147,"), "{text}");
}

#[test]
fn what_does_not_change_takes_no_room() {
    let folder = folder();
    let path = folder.path().join("run");
    let wanted = RecordOptions { path: path.clone(), rotate: None, keep: 1 };
    let mut recorder = Recorder::create(Some(&wanted)).unwrap();
    recorder.start(&crate::clock::start(), &meta(), ReplayOptions::default());
    let mut sizes = Vec::new();
    for second in 0..10 {
        for id in 0..1000 {
            let what = What::Count { listener: ListenerId(id), count: Box::default() };
            recorder.event(&Event { time_ns: second * SECOND + u64::from(id), what });
        }
        for id in 0..1000 {
            let what = What::DepthSample { listener: ListenerId(id), depth: 0, limit: 128 };
            recorder.event(&Event { time_ns: second * SECOND + 5000, what });
        }
        recorder.interval(second * SECOND + 5000, &Blind::default());
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    let last = sizes[9] - sizes[8];
    assert!(last < 300, "{sizes:?}");
}

proptest! {
    /// Any file is either replayed or rejected.
    #[test]
    fn nothing_in_a_file_ends_the_reader(
        at in 0..2000_usize,
        number in prop_oneof![
            any::<u64>().prop_map(|number| number.to_string()),
            any::<i32>().prop_map(|number| number.to_string()),
            Just("null".to_owned()),
        ],
    ) {
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            let folder = folder();
            let path = folder.path().join("run");
            record(&path, None, &steps(2));
            fs::read_to_string(&path).unwrap()
        });
        let text = TEXT.as_str();
        let folder = folder();
        let path = folder.path().join("run");
        // Replaces a number by another one.
        let begins: Vec<usize> = text
            .match_indices(|char: char| char.is_ascii_digit())
            .map(|(at, _)| at)
            .filter(|at| !text.as_bytes()[at - 1].is_ascii_digit())
            .collect();
        let begin = begins[at % begins.len()];
        let length = text[begin..].bytes().take_while(u8::is_ascii_digit).count();
        let mut file = File::create(&path).unwrap();
        write!(file, "{}{number}{}", &text[..begin], &text[begin + length..]).unwrap();
        if let Ok((header, source)) = Source::open(&path) {
            let steps: Vec<Step> = source.map_while(Result::ok).collect();
            Printed::default().show(&header, steps.into_iter());
        }
    }
}
