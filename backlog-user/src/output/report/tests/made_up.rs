//! A synthetic host: the first listener overflows for a while, and names are as hostile as
//! possible.

use std::{fs, io};

use backlog_core::clock::Clock;
use backlog_core::counter::Range;
use backlog_core::counter::{Counter, Reading};
use backlog_core::event::Moves;
use backlog_core::event::{
    Acceptor, Call, Caller, Count, Doing, DropEvent, Event, Identity, Limit, Listener, ListenerId,
    State, What,
};
use backlog_core::model::Model;
use backlog_core::model::reconcile::{self, Blind};
use backlog_core::owner::{Container, Owner, Process};
use backlog_core::run::Backend;
use backlog_core::run::Placed;
use backlog_core::run::cost::{Cost, Cpu};
use backlog_core::run::{End, Meta};
use backlog_core::settings::Settings;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};
use backlog_ebpf::totals::{Stray, Totals};
use jiff::tz::TimeZone;

use crate::output::report::{Destination, Report};
use crate::output::sink::{Now, Sink, Update};
use crate::output::whole_file::WholeFile;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const SECONDS: u64 = 60;
const NETNS: u32 = 4_026_531_840;
const LIMIT: u32 = 16;

/// External strings, by their source.
pub(super) const HOSTILE: [(&str, &str); 9] = [
    ("comm", "<script>alert(1)"),
    ("cmdline", "x </style><img src=x onerror=alert(1)> \u{1b}[2J \"'&amp;"),
    ("user", "</title><svg/onload=alert(2)>"),
    ("unit", "a\u{202e}lmth.service"),
    ("container", "--><iframe>"),
    ("cgroup", "/sys\"tem' onmouseover=\"alert(3).slice\n"),
    ("netns", "]]>&lt;b&gt;"),
    ("option", "`$(x)` </code></pre><script>"),
    ("host", "we<b>b\0"),
];

fn hostile(name: &str) -> String {
    let (_, text) = HOSTILE.iter().find(|(one, _)| *one == name).unwrap();
    (*text).to_owned()
}

/// The updates for a sink, in order.
pub(super) struct Host {
    listeners: Vec<Listener>,
}

/// A host with this many listeners.
pub(super) fn host(listeners: u32) -> Host {
    let mut all: Vec<Listener> = (1..=listeners).map(listener).collect();
    if listeners == 1 {
        // A group of two listeners, one of them idle.
        all.extend((2..=3).map(|id| Listener {
            local: "[2001:db8::1]:443".parse().unwrap(),
            reuseport: Some(true),
            identity: Identity::default(),
            ..listener(id)
        }));
    }
    Host { listeners: all }
}

fn listener(id: u32) -> Listener {
    let main = Process {
        pid: 812,
        comm: hostile("comm"),
        cmdline: hostile("cmdline"),
        uid: 33,
        user: Some(hostile("user")),
        cgroup: None,
    };
    let container =
        Container { runtime: Some("docker".into()), id: hostile("container"), pod: None };
    let owner = Owner {
        main,
        processes: 5,
        pids: vec![812],
        threads: 5,
        unit: Some(hostile("unit")),
        container: Some(container),
    };
    let caller = Some(Caller { pid: 812, comm: "gunicorn".into() });
    Listener {
        id: ListenerId(id),
        local: format!("0.0.0.0:{}", 7999 + id).parse().unwrap(),
        v6_only: false,
        netns: NETNS.into(),
        inode: Some(77),
        cookie: Some(5),
        limit: LIMIT,
        depth: 0,
        reuseport: Some(false),
        opened_now: true,
        sk_drops: None,
        call: Some(Call { asked: Some(2048), somaxconn: Some(LIMIT), caller }),
        cgroup: None,
        identity: Identity {
            owner: Some(Box::new(owner)),
            cgroup: Some(hostile("cgroup")),
            netns: Some(hostile("netns")),
        },
    }
}

/// The page of this host.
pub(super) fn page(host: &Host) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let file = WholeFile::check(&path).unwrap();
    let mut sink = Report::new(TimeZone::UTC, Destination::File(file), false);
    assert!(sink.draws());
    run(host, &mut sink).unwrap();
    fs::read_to_string(path).unwrap()
}

fn meta() -> Meta {
    let hook = |program: &str, how: &str| Placed {
        moment: "syn".into(),
        program: program.into(),
        how: format!("{how} tcp_conn_request"),
    };
    Meta {
        time_ns: 0,
        version: "0.1.0".into(),
        host: Some(hostile("host")),
        kernel: "6.1.0-made-up".into(),
        backend: Backend::Fentry,
        hooks: vec![hook("fe_syn", "fentry"), hook("fx_syn", "fexit")],
        options: vec!["--port".into(), "8000".into(), hostile("option")],
        settings: Settings {
            somaxconn: Some(LIMIT),
            tcp_max_syn_backlog: Some(128),
            syncookies: Some(1),
            abort_on_overflow: Some(0),
            migrate_req: Some(0),
        },
        traced: None,
        reasons: vec!["kernel refuses <b>fentry</b>: using it all the same".into()],
        gaps: Vec::new(),
        bpf_stats: false,
    }
}

/// The depth of the first queue at the end of each second: it fills up, stays full, and empties.
fn depth(second: u64) -> u32 {
    match second {
        0..18 => u32::try_from(second % 4).unwrap(),
        18..22 => u32::try_from((second - 17) * 4).unwrap(),
        22..38 => 17 - u32::try_from(second % 3).unwrap(),
        38..42 => u32::try_from((42 - second) * 3).unwrap(),
        _ => 1,
    }
}

fn refused(second: u64, port: u16) -> What {
    What::Drop(DropEvent {
        listener: ListenerId(1),
        cause: Cause::AcceptQueueFullSyn,
        client: format!("192.0.2.{}:{}", port % 5 + 1, 40_000 + port).parse().unwrap(),
        isn: u32::try_from(second).unwrap(),
        depth: 17,
        limit: LIMIT,
        syn_queue: 3,
        trough: 0,
        free_ns: 0,
        accepted_ns: 0,
        so_far: None,
        cpu: 1,
        fin: false,
        retry: false,
    })
}

/// The state of the acceptors.
fn acceptor() -> What {
    What::Acceptor(Box::new(Acceptor {
        listener: ListenerId(1),
        process: Caller { pid: 812, comm: hostile("comm") },
        looked_after_ns: 900_000,
        last_accept_ns: Some(412 * MS),
        accepted_since_ns: None,
        tid: Some(815),
        processes: 1,
        threads: 4,
        doing: vec![Doing {
            state: State::Asleep,
            wchan: Some("futex_<i>wait".into()),
            threads: 4,
        }],
        cpu_ns: Some(70 * MS),
        cpu_over_ns: Some(700 * MS),
        seen_accepting: true,
        gone: false,
        idle: false,
        holder: None,
        cpu_limit: None,
    }))
}

/// The totals of a listener at the end of a second, and the changes in that second.
fn count(id: u32, second: u64, before: &Totals) -> Count {
    let mut totals = *before;
    let busy = id == 1;
    let came: u64 = if busy { 90 + second % 7 } else { u64::from(id % 3) };
    totals.enqueued += came;
    totals.accepted = totals.enqueued - if busy { u64::from(depth(second)) } else { 0 };
    let deep = if busy { depth(second).max(2) + 1 } else { 1 };
    let deep = if came == 0 { 0 } else { deep.min(LIMIT + 1) };
    if deep > totals.peak {
        (totals.peak, totals.peak_ns) = (deep, second * SECOND - 300 * MS);
    }
    let wait_us = 900 + u64::from(deep) * 9000 + second * 11;
    totals.longest_ns = totals.longest_ns.max(wait_us * 2000);
    if busy && (20..36).contains(&second) && second != 29 && second != 30 {
        totals.drops[Cause::AcceptQueueFullSyn as usize] += 20 + second;
        totals.drops[Cause::AcceptQueueFullAck as usize] += second % 3;
        totals.records_suppressed += 17 + second + second % 3;
        totals.beside[Beside::Ignored as usize] += 1;
    }
    let went = totals.accepted - before.accepted;
    let waits: Moves =
        (0..went).map(|index| (bucket(wait_us * (index + 5) / (went + 5) * 2, WAITS), 1)).collect();
    let mut sorted: Moves = Vec::new();
    for (at, count) in waits {
        match sorted.last_mut().filter(|(last, _)| *last == at) {
            Some((_, sum)) => *sum += count,
            None => sorted.push((at, count)),
        }
    }
    let depths = vec![(bucket(u64::from(deep.max(1)) - 1, DEPTHS), u32::try_from(came).unwrap())];
    Count {
        totals,
        recent_peak: deep,
        recent_longest_ns: wait_us * 2000,
        waits: sorted,
        depths: if came == 0 { Vec::new() } else { depths },
        last_accept: None,
        free_ns: 0,
        idle_moved_ns: 0,
        accepted_ns: 0,
        paced: 0,
        paced_ns: 0,
        accepts: Vec::new(),
        other_accepts: 0,
        stalled_ns: 0,
        filled_ns: 0,
    }
}

/// Passes the updates to a sink, and returns its result at the end.
pub(super) fn run(host: &Host, sink: &mut dyn Sink) -> io::Result<()> {
    let clock = Clock::fixed(1_700_000_000_000_000_000);
    let mut model = Model::new(0);
    if sink.draws() {
        model.keep_timelines();
    }
    sink.update(Now { clock: &clock, model: &model }, &Update::Start(&meta())).unwrap();
    let tell = |model: &mut Model, sink: &mut dyn Sink, time_ns, what| {
        if let Some(news) = model.apply(&Event { time_ns, what }) {
            let update = Update::of_news(model, time_ns, &news).unwrap();
            sink.update(Now { clock: &clock, model }, &update).unwrap();
        }
    };
    for listener in &host.listeners {
        tell(&mut model, sink, 0, What::Listener(listener.clone()));
    }
    let settings = meta().settings;
    tell(&mut model, sink, 0, What::Namespace { netns: NETNS.into(), settings });
    let mut totals = vec![Totals::default(); host.listeners.len()];
    for second in 1..=SECONDS {
        let time_ns = second * SECOND;
        if (20..36).contains(&second) && !host.listeners.is_empty() {
            for index in 0..3_u16 {
                let at = time_ns - 400 * MS + u64::from(index) * 100 * MS;
                let port = u16::try_from(second).unwrap() + 100 * index;
                if second != 29 && second != 30 {
                    tell(&mut model, sink, at, refused(second, port));
                    tell(&mut model, sink, at, acceptor());
                }
            }
        }
        for (listener, before) in host.listeners.iter().zip(&mut totals) {
            let id = listener.id;
            let count = count(id.0, second, before);
            *before = count.totals;
            let what = What::Count { listener: id, count: Box::new(count) };
            tell(&mut model, sink, time_ns, what);
            let limit = if id.0 == 1 && second >= 45 { 24 } else { listener.limit };
            let level = if id.0 == 1 { depth(second) } else { 0 };
            let what = What::DepthSample { listener: id, depth: level, limit };
            tell(&mut model, sink, time_ns, what);
        }
        if second == 45 && !host.listeners.is_empty() {
            let call = Some(Call { asked: Some(24), somaxconn: Some(4096), caller: None });
            let listener = ListenerId(1);
            let limit = Limit { listener, now: 24, was: 16, depth: 1, call, opens: false };
            tell(&mut model, sink, time_ns, What::Limit(limit));
        }
        let rows = model.tick(time_ns);
        sink.update(
            Now { clock: &clock, model: &model },
            &Update::Interval { time_ns, rows: &rows },
        )
        .unwrap();
    }
    let mut moved: Reading = [Some(Range::default()); Counter::COUNT];
    let drops = model.dropped();
    moved[Counter::ListenDrops as usize] = Some(Range { low: drops + 2, high: drops + 2 });
    moved[Counter::ListenOverflows as usize] = Some(Range { low: drops, high: drops });
    let what = What::Counters { netns: NETNS.into(), moved: Box::new(moved) };
    tell(&mut model, sink, SECONDS * SECOND, what);
    if !host.listeners.is_empty() {
        sink.update(
            Now { clock: &clock, model: &model },
            &Update::ClockSet { time_ns: 5 * SECOND, step_ns: -3_600_000_000_000 },
        )
        .unwrap();
    }
    let end = End {
        time_ns: SECONDS * SECOND,
        elapsed_ns: SECONDS * SECOND,
        stray: Stray { no_slot: 2, ..Stray::default() },
        decode_errors: 0,
        missed: Some(0),
        accounts: reconcile::accounts(&model),
        blind: Blind { no_slot: 2, ..Blind::default() },
        cost: Cost {
            elapsed_ns: SECONDS * SECOND,
            cpu: Some(Cpu { user_us: 12_345, system_us: 60_000 }),
            ..Cost::default()
        },
        command: None,
        recording_incomplete: None,
        remarks: Vec::new(),
    };
    sink.update(
        Now { clock: &clock, model: &model },
        &Update::End { summaries: &model.summaries(), end: &end },
    )
}
