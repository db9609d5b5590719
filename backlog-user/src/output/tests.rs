//! Shows the same synthetic run in each sink.

use backlog_core::clock::Clock;
use backlog_core::counter::Range;
use backlog_core::counter::{Counter, Reading};
use backlog_core::event::Moves;
use backlog_core::event::{
    Closed, Count, DropEvent, Event, Identity, Limit, Listener, ListenerId, What,
};
use backlog_core::model::interval::Interval;
use backlog_core::model::reconcile::{self, Blind};
use backlog_core::model::{Model, News, Refusal};
use backlog_core::run::Backend;
use backlog_core::run::command::CommandEnd;
use backlog_core::run::cost::{Cost, Cpu, Memory, ProgramCost, Runs};
use backlog_core::run::{End, Meta, Placed};
use backlog_core::settings::Settings;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};
use backlog_ebpf::totals::{Stray, Totals};
use jiff::tz::TimeZone;

use super::json::Json;
use super::table::{Table, TextStyle};
use crate::output::schema;
use crate::output::sink::{Now, Sink, Update};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

pub(super) fn listener(id: u32, local: &str) -> Listener {
    Listener {
        id: ListenerId(id),
        local: local.parse().unwrap(),
        v6_only: false,
        netns: 4_026_531_840.into(),
        inode: Some(77),
        cookie: Some(5),
        limit: 16,
        depth: 0,
        reuseport: Some(false),
        opened_now: id == 2,
        sk_drops: None,
        call: None,
        cgroup: None,
        identity: Identity::default(),
    }
}

fn meta() -> Meta {
    Meta {
        time_ns: 0,
        version: "0.1.0".into(),
        host: Some("made-up".into()),
        kernel: "6.1.0-made-up".into(),
        backend: Backend::Fentry,
        hooks: vec![
            Placed {
                moment: "syn".into(),
                program: "fe_syn".into(),
                how: "fentry tcp_conn_request".into(),
            },
            Placed {
                moment: "syn".into(),
                program: "fx_syn".into(),
                how: "fexit tcp_conn_request".into(),
            },
        ],
        options: vec!["--port".into(), "8000".into()],
        settings: Settings {
            somaxconn: Some(4096),
            tcp_max_syn_backlog: Some(128),
            ..Settings::default()
        },
        traced: None,
        reasons: Vec::new(),
        gaps: Vec::new(),
        bpf_stats: false,
    }
}

/// Waits of 0 to 234 ms at depths from 1 to 17.
fn forty() -> (Moves, Moves) {
    let mut waits = Moves::new();
    let mut depths = Moves::new();
    for index in 0..40 {
        waits.push((bucket(index * 6000 + 299, WAITS), 1));
        depths.push((bucket(index % 17, DEPTHS), 1));
    }
    (waits, depths)
}

fn refused(port: u16, isn: u32, cause: Cause) -> What {
    What::Drop(DropEvent {
        listener: ListenerId(1),
        cause,
        client: format!("[2001:db8::9]:{port}").parse().unwrap(),
        isn,
        depth: 17,
        limit: 16,
        syn_queue: 3,
        cpu: 1,
        trough: 0,
        free_ns: 0,
        accepted_ns: 0,
        so_far: None,
        fin: false,
        retry: false,
    })
}

fn refusal(news: Option<News>) -> Refusal {
    match news {
        Some(News::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Shows a run with a busy listener, one with a long address, and an idle one.
fn show(sink: &mut dyn Sink) {
    let clock = Clock::fixed(1_700_000_000_000_000_000);
    let mut model = Model::new(0);
    sink.update(Now { clock: &clock, model: &model }, &Update::Start(&meta())).unwrap();
    for (id, local) in
        [(1, "0.0.0.0:8000"), (2, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535"), (3, "[::]:22")]
    {
        let found = listener(id, local);
        let id = found.id;
        model.apply(&Event { time_ns: 0, what: What::Listener(found) });
        sink.update(
            Now { clock: &clock, model: &model },
            &Update::Listener { time_ns: 0, page: model.get(id).unwrap() },
        )
        .unwrap();
    }
    for (time_ns, what) in [
        (400 * MS, refused(4001, 9, Cause::AcceptQueueFullSyn)),
        (500 * MS, refused(4002, 8, Cause::AcceptQueueFullAck)),
        (900 * MS, refused(4001, 9, Cause::AcceptQueueFullSyn)),
    ] {
        let refusal = refusal(model.apply(&Event { time_ns, what }));
        sink.update(Now { clock: &clock, model: &model }, &Update::Refused(&refusal)).unwrap();
    }
    for port in 5000..5012 {
        let what = refused(port, 1, Cause::AcceptQueueFullSyn);
        let refusal = refusal(model.apply(&Event { time_ns: 950 * MS, what }));
        sink.update(Now { clock: &clock, model: &model }, &Update::Refused(&refusal)).unwrap();
    }
    let rows = count(&mut model);
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::Interval { time_ns: SECOND, rows: &rows },
    )
    .unwrap();
    let blind = Blind { no_slot: 2, missed: 1, ..Blind::default() };
    judged(&mut model);
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::Reconciled {
            time_ns: SECOND,
            accounts: &reconcile::accounts(&model),
            blind: &blind,
        },
    )
    .unwrap();
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::ClockSet { time_ns: SECOND, step_ns: -3_600_000_000_000 },
    )
    .unwrap();
    let limit =
        Limit { listener: ListenerId(1), now: 128, was: 16, depth: 5, call: None, opens: false };
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::Limit { time_ns: SECOND, page: model.get(ListenerId(1)).unwrap(), limit: &limit },
    )
    .unwrap();
    let closed = Closed { listener: ListenerId(2), depth: 1, syn_queue: 2 };
    model.apply(&Event { time_ns: SECOND, what: What::Closed(closed) });
    let gone = model.get(ListenerId(2)).unwrap();
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::Closed { time_ns: SECOND, page: gone, closed: &closed },
    )
    .unwrap();
    let end = End {
        time_ns: SECOND,
        elapsed_ns: SECOND,
        stray: Stray { no_slot: 2, closed: 0, ..Stray::default() },
        decode_errors: 0,
        missed: Some(1),
        accounts: reconcile::accounts(&model),
        blind,
        cost: cost(),
        command: Some(CommandEnd { exit_code: Some(3), ..CommandEnd::default() }),
        recording_incomplete: None,
        remarks: Vec::new(),
    };
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::End { summaries: &model.summaries(), end: &end },
    )
    .unwrap();
}

/// A cost with some unknown values.
fn cost() -> Cost {
    let run = Runs { count: 43, time_ns: 30_000 };
    let hook = "fexit tcp_conn_request".to_owned();
    Cost {
        elapsed_ns: SECOND,
        cpu: Some(Cpu { user_us: 1_000, system_us: 2_000 }),
        memory: Memory { resident: Some(20 << 20), ..Memory::default() },
        programs: Some(vec![ProgramCost { program: "fx_syn".into(), hook, run }]),
        connections: Some(48),
        ..Cost::default()
    }
}

/// The kernel's counters: one more overflow than was seen.
fn judged(model: &mut Model) {
    let exactly = |value| Some(Range { low: value, high: value });
    let mut moved = Reading::default();
    moved[Counter::ListenOverflows as usize] = exactly(16);
    moved[Counter::ListenDrops as usize] = exactly(16);
    moved[Counter::ReqQFullDoCookies as usize] = exactly(4);
    let settings =
        Settings { syncookies: Some(0), tcp_max_syn_backlog: Some(128), ..Settings::default() };
    let netns = backlog_core::event::Netns::from(4_026_531_840);
    for what in [
        What::Namespace { netns, settings },
        What::Counters { netns, moved: Box::new(moved) },
        What::SkDrops { listener: ListenerId(1), moved: Range { low: 17, high: 18 } },
    ] {
        model.apply(&Event { time_ns: SECOND, what });
    }
}

/// The totals, and the rows of the only interval.
fn count(model: &mut Model) -> Vec<Interval> {
    let mut totals = Totals {
        enqueued: 47,
        accepted: 43,
        accepts_without_wait: 1,
        enqueue_missed: 2,
        peak: 17,
        peak_ns: 16 * MS,
        longest_ns: 234_300 * MS / 1000,
        ..Totals::default()
    };
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 14;
    totals.drops[Cause::AcceptQueueFullAck as usize] = 1;
    totals.drops[Cause::LastQuarter as usize] = 1;
    totals.records_suppressed = 1;
    totals.sk_drops = 17;
    totals.beside[Beside::SynQueueFullCookie as usize] = 4;
    totals.beside[Beside::SynCookieSent as usize] = 3;
    (totals.syn_queue_peak, totals.syn_queue_peak_ns) = (12, 20 * MS);
    totals.lost[1] = 3;
    let (waits, depths) = forty();
    let first = Count {
        totals,
        recent_peak: 17,
        recent_longest_ns: totals.longest_ns,
        waits,
        depths,
        ..Count::default()
    };
    let totals = Totals { enqueued: 1, accepted: 1, peak: 1, peak_ns: 1, ..Totals::default() };
    let second = Count { totals, recent_peak: 1, ..Count::default() };
    for (id, count) in [(1, first), (2, second)] {
        let what = What::Count { listener: ListenerId(id), count: Box::new(count) };
        model.apply(&Event { time_ns: SECOND, what });
    }
    for (id, depth, limit) in [(1, 5, 16), (2, 0, 4096)] {
        let what = What::DepthSample { listener: ListenerId(id), depth, limit };
        model.apply(&Event { time_ns: SECOND, what });
    }
    model.tick(SECOND)
}

fn text(sink: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    sink(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn table() {
    let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: false };
    let text = text(|out| show(&mut Table::new(out, look)));
    for line in text.lines() {
        assert!(line.len() <= 80, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn json() {
    let text = text(|out| show(&mut Json::new(out, false)));
    let types: Vec<String> = schema::check_lines(&text).into_iter().collect();
    assert_eq!(
        types.join(" "),
        "clock closed drop end interval limit listener meta namespace summary"
    );
    insta::assert_snapshot!(text);
}
