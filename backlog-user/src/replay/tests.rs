//! Made-up runs, recorded to files and read from them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::{Stray, Totals};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;

use super::player::Player;
use super::source::Source;
use crate::book::reconcile::Blind;
use crate::clock::Clock;
use crate::counter::Reading;
use crate::event::{
    Call, Caller, Closed, Count, Drop, Event, Identity, Limit, Listener, ListenerId, Range, What,
};
use crate::kernel::settings::Settings;
use crate::own::{Cost, Cpu, ProgramCost, Run};
use crate::owner::{Container, Owner, Process};
use crate::plan::Backend;
use crate::record::line::{FORMAT, Header, Step};
use crate::record::{Recorder, Shown, Wanted, sink};
use crate::schema;
use crate::view::csv::Csv;
use crate::view::json::Json;
use crate::view::table::{Look, Table};
use crate::view::{End, Meta, Placed, View};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const NETNS: u32 = 4_026_531_840;

fn meta() -> Meta {
    Meta {
        time_ns: 5 * SECOND,
        version: "0.1.0".into(),
        kernel: "6.1.0-made-up".into(),
        backend: Backend::Fentry,
        hooks: vec![Placed {
            moment: "syn".into(),
            program: "fx_syn".into(),
            how: "fexit tcp_conn_request".into(),
        }],
        options: vec!["--port".into(), "8000".into()],
        settings: Settings { somaxconn: Some(4096), ..Settings::default() },
        reasons: vec!["made up".into()],
        gaps: Vec::new(),
        bpf_stats: false,
    }
}

fn listener(id: u32, local: &str) -> Listener {
    let main = Process { pid: 812, comm: "a \"b\"\n".into(), ..Process::default() };
    let container = Container { runtime: Some("docker".into()), id: "c0ffee".into(), pod: None };
    let owner = Owner {
        main,
        processes: 2,
        pids: vec![812, 813],
        container: Some(container),
        ..Owner::default()
    };
    Listener {
        id: ListenerId(id),
        local: local.parse().unwrap(),
        v6_only: false,
        netns: NETNS,
        inode: Some(u64::from(id) + 70),
        cookie: None,
        limit: 16,
        depth: 0,
        reuseport: Some(false),
        opened_now: id == 2,
        sk_drops: Some(0),
        call: (id == 2).then(|| Call {
            asked: Some(-1),
            somaxconn: Some(16),
            caller: Some(Caller { pid: 812, comm: "nginx".into() }),
        }),
        cgroup: Some(7),
        identity: Identity {
            owner: (id == 1).then(|| Box::new(owner)),
            cgroup: Some("/a.slice".into()),
            netns: Some("blue".into()),
        },
    }
}

/// The kernel's totals of the busy listener after so many seconds.
fn totals(second: u64) -> Totals {
    let mut totals = Totals {
        enqueued: 50 * second,
        accepted: 49 * second,
        peak: 17,
        peak_ns: 5 * SECOND + 3,
        longest_ns: 90 * MS,
        sk_drops: 3 * second,
        ..Totals::default()
    };
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 3 * second;
    totals.beside[Beside::SynCookieSent as usize] = second;
    totals
}

/// A run of so many seconds, of a busy listener, one that comes and goes, and an idle one.
fn steps(seconds: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = |time_ns, what| steps.push(Step::Event(Event { time_ns, what }));
    at(5 * SECOND, What::Listener(listener(1, "0.0.0.0:8000")));
    at(5 * SECOND, What::Listener(listener(3, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535")));
    for second in 1..=seconds {
        let now = (5 + second) * SECOND;
        interval(second, now, &mut steps);
        if second == 2 {
            let mark = serde_json::from_str(
                r#"{"monotonic_ns":6900000000,"offset_ns":1700003600000000000}"#,
            );
            steps.push(Step::Clock { mark: mark.unwrap(), set: Some((now, 3_600_000_000_000)) });
        }
        let blind = Blind { no_slot: second, ..Blind::default() };
        steps.push(Step::Interval { time_ns: now, blind });
    }
    let now = (5 + seconds) * SECOND + 300 * MS;
    steps.push(Step::Rest { time_ns: now });
    let run = Run { count: 43, time_ns: 30_000 };
    let hook = "fexit tcp_conn_request".to_owned();
    let programs = Some(vec![ProgramCost { program: "fx_syn".into(), hook, run }]);
    let cpu = Some(Cpu { user_us: 1000, system_us: 2000 });
    let cost = Cost { elapsed_ns: SECOND, cpu, programs, ..Cost::default() };
    let stray = Stray { no_slot: seconds, closed: 1, accepts: 2, drops: 3 };
    let elapsed_ns = now - 5 * SECOND;
    let end = End { time_ns: now, elapsed_ns, stray, missed: Some(1), cost, ..End::default() };
    steps.push(Step::End(Box::new(end)));
    steps
}

/// What happens in a second.
fn interval(second: u64, now: u64, steps: &mut Vec<Step>) {
    let mut at = |time_ns, what| steps.push(Step::Event(Event { time_ns, what }));
    let client = |port: u64| format!("[2001:db8::9]:{}", 4000 + port).parse().unwrap();
    for index in 0..3 {
        let drop = Drop {
            listener: ListenerId(1),
            cause: Cause::AcceptQueueFullSyn,
            client: client(index + second / 3),
            isn: 9,
            depth: 17,
            limit: 16,
            syn_queue: 3,
            cpu: 1,
        };
        at(now - 500 * MS + index, What::Drop(drop));
    }
    let count = Count {
        totals: totals(second),
        recent_peak: 17,
        recent_longest_ns: 90 * MS,
        waits: vec![(40, 30), (500, 19)],
        depths: vec![(0, 20), (16, 30)],
        last_accept: None,
    };
    at(now - 20, What::Count { listener: ListenerId(1), count: Box::new(count) });
    if second == 1 {
        at(now - 400 * MS, What::Listener(listener(2, "127.0.0.1:9000")));
        let call = Some(Call { asked: Some(5), ..Call::default() });
        let limit = Limit { listener: ListenerId(2), now: 5, was: 16, depth: 0, call };
        at(now - 300 * MS, What::Limit(limit));
        let totals = Totals { enqueued: 1, peak: 1, peak_ns: now, ..Totals::default() };
        let count = Count { totals, recent_peak: 1, ..Count::default() };
        at(now - 10, What::Count { listener: ListenerId(2), count: Box::new(count) });
        let closed = Closed { listener: ListenerId(2), depth: 1, syn_queue: 0 };
        at(now - 5, What::Closed(closed));
    }
    at(now - 10, What::Count { listener: ListenerId(3), count: Box::default() });
    let settings = Settings { syncookies: Some(1), ..Settings::default() };
    at(now, What::Namespace { netns: NETNS, settings });
    let mut moved = Reading::default();
    moved[0] = Some(Range { low: 3 * second, high: 3 * second + 1 });
    if second == 1 {
        at(now, What::Baseline { netns: NETNS });
    }
    at(now, What::Counters { netns: NETNS, moved: Box::new(moved) });
    for (id, depth) in [(1, u32::try_from(second).unwrap()), (3, 0)] {
        at(now, What::Level { listener: ListenerId(id), depth, limit: 16 });
    }
    let moved = Range { low: 3 * second, high: 3 * second };
    at(now, What::SkDrops { listener: ListenerId(1), moved });
}

/// What each view prints.
#[derive(Debug, Default, PartialEq, Eq)]
struct Printed([Vec<u8>; 3]);

impl Printed {
    fn table(&self) -> &str {
        std::str::from_utf8(&self.0[0]).unwrap()
    }

    fn show(&mut self, header: &Header, steps: impl Iterator<Item = Step> + Clone) {
        let [table, json, csv] = &mut self.0;
        let look = Look { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: true };
        show(&mut Table::new(table, look), header, steps.clone());
        show(&mut Json::new(json, false), header, steps.clone());
        show(&mut Csv::new(csv, false), header, steps);
    }
}

fn show(view: &mut dyn View, header: &Header, steps: impl Iterator<Item = Step>) {
    let mut player = Player::start(header, None, view).unwrap();
    for step in steps {
        player.step(view, step).unwrap();
    }
}

fn header() -> Header {
    let clock = Clock::fixed(1_700_000_000_000_000_000);
    Header {
        format: FORMAT,
        part: 0,
        meta: meta(),
        clock,
        named_ports: true,
        until_drop: Some(1000),
    }
}

/// Records a run as a session does, and says what was printed meanwhile.
fn record(path: &Path, rotate: Option<(u64, u32)>, steps: &[Step]) -> (Printed, Recorder) {
    let (rotate, keep) = rotate.unzip();
    let wanted = Wanted { path: path.to_owned(), rotate, keep: keep.unwrap_or(1) };
    let mut recorder = Recorder::create(Some(&wanted)).unwrap();
    let header = header();
    let mut clock = header.clock.clone();
    recorder.start(&clock, &header.meta, Shown { named_ports: true, until_drop: Some(1000) });
    // The book is needed for what a rotated file begins with.
    let mut out = Vec::new();
    let mut view = Csv::new(&mut out, false);
    let mut player = Player::start(&header, None, &mut view).unwrap();
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
        player.step(&mut view, step.clone()).unwrap();
        if let Step::Interval { time_ns, .. } = step {
            recorder.batch(player.clock(), player.book(), *time_ns);
        }
    }
    let mut printed = Printed::default();
    printed.show(&header, steps.iter().cloned());
    (printed, recorder)
}

/// What a replay prints, and what it remarks.
fn replay(path: &Path) -> (Printed, Vec<String>) {
    let (header, mut source) = Source::open(path).unwrap();
    let steps: Vec<Step> = source.by_ref().collect();
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
        let read: Vec<Step> = source.collect();
        assert_eq!(format!("{read:#?}"), format!("{steps:#?}"));
        schema::check_lines(std::str::from_utf8(&printed.0[1]).unwrap());
        assert_eq!(replay(&path), (printed, Vec::new()));
    }
    let plain = fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
    insta::assert_snapshot!(plain);
    assert_eq!(fs::read(folder.path().join("run.zst")).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
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
        for length in (0..whole.len()).rev().step_by(7) {
            fs::write(&cut_path, &whole[..length]).unwrap();
            let Ok((header, mut source)) = Source::open(&cut_path) else { continue };
            shown += 1;
            let mut printed = Printed::default();
            printed.show(&header, source.by_ref().collect::<Vec<_>>().into_iter());
            let table = printed.table();
            assert!(table.contains("Summary of"), "{length}: {table}");
            let remarks = source.remarks();
            assert!(!remarks.is_empty(), "{length}");
            if table.contains("Incomplete: ") {
                assert!(full.table().contains(table.lines().next().unwrap()));
            }
        }
        // All but those within the first line, or the first compressed block.
        assert!(shown * 7 > whole.len() / 4, "{name}: {shown}");
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
    lines.insert(6, r#"{"same":{"time_ns":1,"of":"level","ids":[[0,4294967295]]}}"#);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (printed, remarks) = replay(&path);
    assert_eq!(remarks, ["3 lines could not be read and are left out"]);
    assert!(printed.table().contains("drops        6 packets"), "{}", printed.table());
}

#[test]
fn what_is_no_recording_or_a_newer_one_is_refused_with_a_cure() {
    let folder = folder();
    let path = folder.path().join("run");
    for (text, cure) in [
        ("", "is no recording of backlog-trace"),
        ("TIME LISTENER\n", "is no recording of backlog-trace"),
        ("{\"type\":\"meta\"}\n", "is no recording of backlog-trace"),
        ("{\"header\":{\"format\":2,\"all\":\"else\"}}\n", "or a newer one"),
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
    // One byte: each interval has a file of its own.
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
    // What another run has left behind is not taken for this one's.
    record(&sink::part(&path, 4), None, &steps[..30]);
    let (printed, _) = record(&path, Some((1, 3)), &steps);
    assert!(!sink::part(&path, 4).with_extension("5").exists());
    let (again, remarks) = replay(&path);
    assert!(remarks[0].contains("first files are gone"), "{remarks:?}");
    // But for who had been refused before.
    let summary = |printed: &Printed| {
        let text = printed.table().split_once("Summary of").unwrap().1.to_owned();
        text.replace("of 19 clients", "of 16 clients")
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
    let wanted = Wanted { path: folder.path().join("no/such/run"), rotate: None, keep: 1 };
    let error = Recorder::create(Some(&wanted)).err().unwrap();
    assert!(format!("{error:#}").contains("no/such/run"), "{error:#}");
    let wanted = Wanted { path: "/dev/null".into(), rotate: Some(1), keep: 1 };
    assert!(Recorder::create(Some(&wanted)).is_err());
}

#[test]
fn a_longer_interval_sums_those_that_were_recorded() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(6));
    let (header, source) = Source::open(&path).unwrap();
    let mut out = Vec::new();
    let mut view = Csv::new(&mut out, false);
    let every = Some(std::time::Duration::from_secs(3));
    let mut player = Player::start(&header, every, &mut view).unwrap();
    for step in source {
        player.step(&mut view, step).unwrap();
    }
    drop(view);
    let text = String::from_utf8(out).unwrap();
    let busy: Vec<&str> = text.lines().filter(|line| line.contains(",8000,")).collect();
    assert_eq!(busy.len(), 2, "{text}");
    assert!(busy[0].contains(",3.000000,") && busy[0].contains(",16,150,147,"), "{text}");
}

#[test]
fn what_does_not_change_takes_no_room() {
    let folder = folder();
    let path = folder.path().join("run");
    let wanted = Wanted { path: path.clone(), rotate: None, keep: 1 };
    let mut recorder = Recorder::create(Some(&wanted)).unwrap();
    recorder.start(&Clock::start(), &meta(), Shown::default());
    let mut sizes = Vec::new();
    for second in 0..10 {
        for id in 0..1000 {
            let what = What::Count { listener: ListenerId(id), count: Box::default() };
            recorder.event(&Event { time_ns: second * SECOND + u64::from(id), what });
        }
        for id in 0..1000 {
            let what = What::Level { listener: ListenerId(id), depth: 0, limit: 128 };
            recorder.event(&Event { time_ns: second * SECOND + 5000, what });
        }
        recorder.interval(second * SECOND + 5000, &Blind::default());
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    let last = sizes[9] - sizes[8];
    assert!(last < 300, "{sizes:?}");
}

proptest! {
    /// Whoever made the file: it is shown, or refused. (Larger numbers make sums that wrap
    /// around, which only a debug build minds.)
    #[test]
    fn nothing_in_a_file_ends_the_reader(
        at in 0..2000_usize,
        number in prop_oneof![
            (0..1_u64 << 53).prop_map(|number| number.to_string()),
            any::<i32>().prop_map(|number| number.to_string()),
            Just("null".to_owned()),
        ],
    ) {
        let folder = folder();
        let path = folder.path().join("run");
        record(&path, None, &steps(2));
        let text = fs::read_to_string(&path).unwrap();
        // Another number in place of one that is there.
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
            let steps: Vec<Step> = source.collect();
            Printed::default().show(&header, steps.into_iter());
        }
    }
}
