//! A synthetic run with a busy listener, one that opens and closes, an idle one, and a wall clock
//! that is stepped.

use backlog_core::clock::Clock;
use backlog_core::counter::Range;
use backlog_core::counter::Reading;
use backlog_core::event::{
    AcceptError, AcceptErrors, Acceptor, Accepts, Admitted, Call, Caller, Closed, Count, Dequeued,
    Doing, DropEvent, Event, Identity, Leaving, Limit, Listener, ListenerId, SoFar, State, What,
};
use backlog_core::model::reconcile::Blind;
use backlog_core::owner::{Container, Owner, Process};
use backlog_core::recording::line::{FORMAT, Header, Step};
use backlog_core::recording::options::ReplayOptions;
use backlog_core::run::Backend;
use backlog_core::run::cost::{Cost, Cpu, ProgramCost, Runs};
use backlog_core::run::{End, Meta, Placed};
use backlog_core::settings::Settings;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::{Stray, Totals};

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1000 * MS;
pub(super) const NETNS: u32 = 4_026_531_840;

pub(super) fn meta() -> Meta {
    Meta {
        time_ns: 5 * SECOND,
        version: "0.1.0".into(),
        host: Some("made-up".into()),
        kernel: "6.1.0-made-up".into(),
        backend: Backend::Fentry,
        hooks: vec![Placed {
            moment: "syn".into(),
            program: "fx_syn".into(),
            how: "fexit tcp_conn_request".into(),
        }],
        options: vec!["--port".into(), "8000".into()],
        settings: Settings { somaxconn: Some(4096), ..Settings::default() },
        traced: None,
        reasons: vec!["made up".into()],
        gaps: Vec::new(),
        bpf_stats: false,
    }
}

pub(super) fn listener(id: u32, local: &str) -> Listener {
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
        netns: NETNS.into(),
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

/// The kernel's totals of the busy listener after this many seconds.
pub(super) fn totals(second: u64) -> Totals {
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

/// A run of this many seconds, with a busy listener, one that opens and closes, and an idle one.
pub(super) fn steps(seconds: u64) -> Vec<Step> {
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
    let run = Runs { count: 43, time_ns: 30_000 };
    let hook = "fexit tcp_conn_request".to_owned();
    let programs = Some(vec![ProgramCost { program: "fx_syn".into(), hook, run }]);
    let cpu = Some(Cpu { user_us: 1000, system_us: 2000 });
    let cost = Cost { elapsed_ns: SECOND, cpu, programs, ..Cost::default() };
    let stray = Stray { no_slot: seconds, closed: 1, accepts: 2, drops: 3, hidden: 4 };
    let elapsed_ns = now - 5 * SECOND;
    let end = End { time_ns: now, elapsed_ns, stray, missed: Some(1), cost, ..End::default() };
    steps.push(Step::End(Box::new(end)));
    steps
}

/// The events of one second.
fn interval(second: u64, now: u64, steps: &mut Vec<Step>) {
    let mut at = |time_ns, what| steps.push(Step::Event(Event { time_ns, what }));
    let client = |port: u64| format!("[2001:db8::9]:{}", 4000 + port).parse().unwrap();
    let drop = |index| DropEvent {
        listener: ListenerId(1),
        cause: Cause::AcceptQueueFullSyn,
        client: client(index + second / 3),
        isn: 9,
        depth: 17,
        limit: 16,
        syn_queue: 3,
        cpu: 1,
        trough: 2,
        free_ns: 100 * second,
        accepted_ns: now - 600 * MS,
        so_far: Some(SoFar { paced: 20, paced_ns: 40 * MS, arrived: 50, ..SoFar::default() }),
        fin: false,
        retry: false,
    };
    for index in 0..3 {
        at(now - 500 * MS + index, What::Drop(drop(index)));
    }
    if second % 3 == 2 {
        // A client that is refused in every possible second gets in.
        let DropEvent { listener, client, isn, depth, trough, free_ns, so_far, .. } = drop(0);
        let admitted =
            Admitted { listener, client, isn, depth, trough, free_ns, so_far, followed: true };
        at(now - 400 * MS, What::Admitted(admitted));
        let dequeued = Dequeued { listener, client, isn, leaving: Leaving::AcceptedWithData };
        at(now - 300 * MS, What::Dequeued(dequeued));
    }
    if second > 3 {
        at(now - 400 * MS, What::Acceptor(Box::new(acceptor(second))));
        at(now - 300 * MS, What::AcceptErrors(Box::new(accept_errors(second))));
    }
    let count = Count {
        totals: totals(second),
        recent_peak: 17,
        recent_longest_ns: 90 * MS,
        waits: vec![(40, 30), (500, 19)],
        depths: vec![(0, 20), (16, 30)],
        last_accept: None,
        free_ns: 100 * second,
        idle_moved_ns: 100,
        accepted_ns: now - 30,
        paced: 20,
        paced_ns: 40 * MS,
        accepts: vec![Accepts {
            process: Caller { pid: 812, comm: "gunicorn".into() },
            tid: 815,
            count: 40,
        }],
        other_accepts: second % 2,
        stalled_ns: 0,
        filled_ns: now - 700 * MS,
    };
    at(now - 20, What::Count { listener: ListenerId(1), count: Box::new(count) });
    if second == 1 {
        at(now - 400 * MS, What::Listener(listener(2, "127.0.0.1:9000")));
        let call = Some(Call { asked: Some(5), ..Call::default() });
        let limit = Limit { listener: ListenerId(2), now: 5, was: 16, depth: 0, call, opens: true };
        at(now - 300 * MS, What::Limit(limit));
        let totals = Totals { enqueued: 1, peak: 1, peak_ns: now, ..Totals::default() };
        let count = Count { totals, recent_peak: 1, ..Count::default() };
        at(now - 10, What::Count { listener: ListenerId(2), count: Box::new(count) });
        let closed = Closed { listener: ListenerId(2), depth: 1, syn_queue: 0 };
        at(now - 5, What::Closed(closed));
    }
    at(now - 10, What::Count { listener: ListenerId(3), count: Box::default() });
    let settings = Settings { syncookies: Some(1), ..Settings::default() };
    at(now, What::Namespace { netns: NETNS.into(), settings });
    let mut moved = Reading::default();
    moved[0] = Some(Range { low: 3 * second, high: 3 * second + 1 });
    if second == 1 {
        at(now, What::Baseline { netns: NETNS.into() });
    }
    at(now, What::Counters { netns: NETNS.into(), moved: Box::new(moved) });
    for (id, depth) in [(1, u32::try_from(second).unwrap()), (3, 0)] {
        at(now, What::DepthSample { listener: ListenerId(id), depth, limit: 16 });
    }
    let moved = Range { low: 3 * second, high: 3 * second };
    at(now, What::SkDrops { listener: ListenerId(1), moved });
}

pub(super) fn header() -> Header {
    let clock = Clock::fixed(1_700_000_000_000_000_000);
    Header {
        format: FORMAT,
        part: 0,
        meta: meta(),
        clock,
        options: ReplayOptions {
            named_ports: true,
            until_drop: Some(1000),
            high_use: Some(100),
            client_timeout_ns: Some(7 * SECOND),
            one_family: false,
        },
    }
}

fn accept_errors(second: u64) -> AcceptErrors {
    let error = |errno, count| AcceptError {
        process: Caller { pid: 812, comm: "gunicorn".into() },
        errno,
        count,
        first_ns: (5 + second) * SECOND - 900 * MS,
        last_ns: (5 + second) * SECOND - 400 * MS,
        nofile: (errno == libc::EMFILE).then_some(1024),
        by_holder: false,
    };
    let errors = vec![error(libc::EMFILE, second), error(libc::EAGAIN, 300)];
    AcceptErrors { listener: ListenerId(1), watched_ns: SECOND, errors, left_out: second % 2 }
}

fn acceptor(second: u64) -> Acceptor {
    Acceptor {
        listener: ListenerId(1),
        process: Caller { pid: 812, comm: "gunicorn".into() },
        looked_after_ns: 1000 * second,
        last_accept_ns: Some(412 * MS),
        accepted_since_ns: None,
        tid: Some(815),
        processes: 1,
        threads: 4,
        doing: vec![Doing {
            state: State::Asleep,
            wchan: Some("futex_wait_queue".into()),
            threads: 4,
        }],
        cpu_ns: Some(MS),
        cpu_over_ns: Some(100 * MS),
        seen_accepting: true,
        gone: false,
        idle: false,
        holder: None,
        cpu_limit: None,
    }
}
