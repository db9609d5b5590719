//! Real servers under load: which of their processes accept, the verdict, and whether its advice is
//! sufficient. Each server reports which process answered a client, or the clients know which one
//! they occupy; the truth follows from that, and is stated before each run.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{Write as _, stderr};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use backlog_tests::clock::wait_until;
use backlog_tests::counters::Counters;
use backlog_tests::servers::{Plan, Root, Server, all_at_once, answers, ask, one_by_one, silent};
use backlog_tests::sysctl::Sysctl;
use backlog_tests::tracer::{Run, Summary, Tracer};
use backlog_tests::{netns, proc, ss};
use serde_json::Value;

use super::blind::assert_count;
use super::help::{LIMIT, PORT, PORT_TEXT, counter, in_guest_once, is_native, stop};
use super::owners::{absent, with_servers};
use super::{blind, ownership};

/// The number of workers of a pre-fork server.
const WORKERS: u32 = 2;
/// The work for a client: two workers accept at most 13 per second.
const WORK: &str = "/?0.15";
/// How long a refused client keeps trying, which is longer than a stall needs to be detected.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A process that has not accepted for this long is not about to do so: its state is reported.
const A_WHILE: Duration = Duration::from_millis(200);

/// Accepts by process.
type ByProcess = BTreeMap<u32, u64>;

/// Runs `test` natively only. In an emulated guest this takes minutes, and
/// [`gunicorns_workers_are_named_and_not_their_master`] covers it with a single server.
fn natively(test: impl FnOnce(&Root) + Send) {
    if is_native() {
        return with_servers(test);
    }
    in_guest_once(|| absent("uWSGI, uvicorn, Apache and haproxy", "tested natively"));
}

fn start(root: &Root, plan: &Plan) -> Server {
    Server::start(root, plan).unwrap()
}

/// Connects clients until each worker has answered one, so that each was seen accepting. Returns
/// their number for each worker.
fn meet_all(workers: &BTreeSet<u32>) -> ByProcess {
    let mut met = ByProcess::new();
    wait_until("each worker to answer", LIMIT, || {
        add(&mut met, &all_at_once(PORT, WORKERS, "/?0.02")?);
        Ok(met.len() == workers.len())
    })
    .unwrap();
    assert!(met.keys().eq(workers), "{met:?} of {workers:?}");
    met
}

/// Adds up the processes that answered.
fn add(by: &mut ByProcess, answers: &[String]) {
    for answer in answers {
        *by.entry(answer.trim().parse().unwrap()).or_default() += 1;
    }
}

/// Asserts that the summary lists exactly the processes that accepted, each with its number of
/// accepts, and no unattributed accepts.
fn assert_accepts(name: &str, run: &Run, summary: &Summary, truth: &ByProcess) {
    let missed = blind::missed(run);
    let accepts = &summary.accepts;
    let workers = accepts["workers"].as_array().unwrap();
    let told: ByProcess = workers
        .iter()
        .map(|one| (number(&one["process"]["pid"]), one["accepts"].as_u64().unwrap()))
        .collect();
    assert!(told.keys().eq(truth.keys()), "{name}: {told:?} instead of {truth:?}");
    for (process, count) in truth {
        assert_count(told[process], *count, missed, &format!("{name}: accepts of {process}"));
    }
    let all: u64 = truth.values().sum();
    assert_count(summary.accepted, all, missed, &format!("{name}: accepted"));
    let rest = accepts["other"].as_u64().unwrap() + accepts["not_seen"].as_u64().unwrap();
    assert_eq!(told.values().sum::<u64>() + rest, summary.accepted, "{name}: {accepts}");
    assert_count(rest, 0, missed, &format!("{name}: unattributed accepts"));
    let shares: f64 = workers.iter().map(|one| one["share"].as_f64().unwrap()).sum();
    assert!(rest > 0 || (shares - 1.0).abs() < 1e-9, "{name}: {accepts}");
}

/// Asserts that the inspections when drops began covered all of the workers, but not their parent.
/// Returns the first one.
fn assert_looked_at(name: &str, run: &Run, workers: &BTreeSet<u32>, threads: usize) -> Value {
    let looks: Vec<&Value> =
        run.lines.iter().filter(|line| line.is("acceptor")).map(|line| &line.raw).collect();
    assert!(!looks.is_empty(), "{name}: nothing was inspected: {}", run.stderr);
    for look in &looks {
        assert!(workers.contains(&number(&look["process"]["pid"])), "{name}: {look}");
        assert_eq!((&look["seen_accepting"], &look["gone"]), (&true.into(), &false.into()));
        assert_eq!(look["processes"], workers.len(), "{name}: {look}");
        assert_eq!(look["threads"], threads, "{name}: {look}");
    }
    looks[0].clone()
}

fn number(pid: &Value) -> u32 {
    u32::try_from(pid.as_u64().unwrap()).unwrap()
}

/// Asserts that this is the verdict; returns its reason.
fn assert_verdict<'a>(name: &str, summary: &'a Summary, verdict: &str) -> &'a str {
    let why = summary.sizing["why"].as_str().unwrap();
    assert_eq!(summary.sizing["verdict"], verdict, "{name}: {why}");
    why
}

/// The last connection in the needed queue waits for at least the time that two workers, which
/// sleep for each client, need for all before it. (A tenth of the pauses may be taken for stalls
/// before they are known to be normal.)
fn assert_last_waits(name: &str, summary: &Summary) {
    let sizing = &summary.sizing;
    let (depth, wait_us) = (sizing["needed_depth"].as_u64(), sizing["wait_us"].as_u64());
    let (depth, wait_us) = (depth.unwrap(), wait_us.unwrap());
    let least_us = depth * 150_000 / u64::from(WORKERS) * 2 / 3;
    assert!(wait_us >= least_us, "{name}: {least_us}: {}", sizing["why"]);
}

/// Two workers, and a queue of 9, to which `net.core.somaxconn` clamps 2048: of 30 simultaneous
/// clients, most are refused and admitted when they retry. A larger queue would serve all of them
/// within three seconds, well before they give up.
#[test]
fn gunicorns_workers_are_named_and_not_their_master() {
    with_servers(|root| {
        let _cut = Sysctl::set("net.core.somaxconn", "8").unwrap();
        let server = start(root, &Plan::gunicorn_at_work(PORT, WORKERS as usize));
        let (master, workers) = (server.main(), server.workers());
        let arguments = ["-q", "--port", PORT_TEXT, "--client-timeout", "30s"];
        let tracer = Tracer::start(&arguments, LIMIT).unwrap();
        let mut truth = meet_all(&workers);
        add(&mut truth, &all_at_once(PORT, 30, WORK).unwrap());
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert!(summary.drops.total > 0, "{summary:?}");
        assert_accepts("gunicorn", &run, summary, &truth);
        let look = assert_looked_at("gunicorn", &run, &workers, workers.len());
        let text = look["text"].as_str().unwrap();
        assert!(!text.contains(&format!("[{master}]")), "the master, {master}: {text}");
        let why = assert_verdict("gunicorn", summary, "raise");
        let sizing = &summary.sizing;
        assert_eq!(summary.listener.limit, 8);
        // The acceptors do not call listen(); the process that opened the socket does.
        assert_eq!(sizing["restart"], format!("gunicorn[{master}]"), "{why}");
        assert_eq!(sizing["somaxconn"], sizing["backlog"], "it cuts: {why}");
        assert_last_waits("gunicorn", summary);
    });
}

/// The same with a queue length set in uWSGI, and clients that wait for a second at most: two
/// workers serve 13 in that time, so no queue is enough for 40.
#[test]
fn busy_workers_of_uwsgi_are_too_few() {
    natively(|root| {
        let server = start(root, &Plan::uwsgi(PORT, WORKERS as usize, 16));
        let workers = server.workers();
        let arguments = ["-q", "--port", PORT_TEXT, "--client-timeout", "1s"];
        let tracer = Tracer::start(&arguments, LIMIT).unwrap();
        let mut truth = meet_all(&workers);
        add(&mut truth, &all_at_once(PORT, 40, WORK).unwrap());
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert!(summary.drops.total > 0, "{summary:?}");
        assert_accepts("uWSGI", &run, summary, &truth);
        assert_looked_at("uWSGI", &run, &workers, workers.len());
        let why = assert_verdict("uWSGI", summary, "add_workers");
        let sizing = &summary.sizing;
        // A worker sleeps for 150 ms, and may take longer: this is the maximum per second. Both
        // start at about the same time, so the pauses are 150 ms or nearly zero: these are not
        // stalls, but the pace of two workers.
        let largest = sizing["largest_backlog"].as_u64().unwrap();
        assert!((1..=14).contains(&largest), "{why}");
        assert_last_waits("uWSGI", summary);
        assert!(sizing["times_present_rate"].as_f64().unwrap() > 1.0, "{why}");
    });
}

/// uWSGI itself checks whether its queue would be clamped, and then does not start.
#[test]
fn uwsgi_takes_no_queue_that_is_cut() {
    natively(|root| {
        let _cut = Sysctl::set("net.core.somaxconn", "15").unwrap();
        let refused = Server::start(root, &Plan::uwsgi(PORT, WORKERS as usize, 16)).unwrap_err();
        assert!(format!("{refused:#}").contains("net.core.somaxconn (15)"), "{refused:#}");
        let plan = Plan::uwsgi(PORT, WORKERS as usize, 15);
        let server = start(root, &plan);
        let found = ownership::audit(netns::inode().unwrap());
        ownership::assert_owned(
            &server,
            &found,
            &ss::listeners(root).unwrap(),
            &ownership::Place::here(),
        );
    });
}

/// Each of three children is occupied by a silent client until the end: nobody accepts, the queue
/// fills up, and no backlog helps.
#[test]
fn apaches_children_are_named_and_stall_when_all_are_kept() {
    const CHILDREN: u32 = 3;
    natively(|root| {
        let server = start(root, &Plan::apache_prefork(PORT, CHILDREN as usize, 8));
        let children = server.workers();
        let tracer = Tracer::start(&["-q", "--port", PORT_TEXT], LIMIT).unwrap();
        for _ in 0..10 {
            all_at_once(PORT, CHILDREN, "/none").unwrap();
        }
        let kept = keep(root, CHILDREN, &children);
        let queued = fill(8);
        let run = stop(tracer);
        let mut truth: ByProcess = children.iter().map(|child| (*child, 1)).collect();
        // Each line is written after its answer, so the last of them may still be missing.
        wait_until("Apache's log", LIMIT, || {
            Ok(server.wrote(Plan::APACHE_LOG)?.lines().count() == 10 * CHILDREN as usize)
        })
        .unwrap();
        let log = server.wrote(Plan::APACHE_LOG).unwrap();
        add(&mut truth, &log.lines().map(str::to_owned).collect::<Vec<_>>());
        drop((kept, queued));
        let summary = run.summary(PORT).unwrap();
        assert_accepts("Apache", &run, summary, &truth);
        let look = assert_looked_at("Apache", &run, &children, children.len());
        let why = assert_verdict("Apache", summary, "acceptor_stalled");
        assert!(why.contains("9 are still queued"), "{why}");
        let text = look["text"].as_str().unwrap();
        let so = "all 3 workers in poll() or select() (";
        assert!(
            text.contains(so)
                && text.contains("waiting for data from clients that are being served"),
            "{text}"
        );
        assert!(why.contains("the last to do so was apache2["), "{why}");
    });
}

/// haproxy takes four connections at a time. Four clients stay, and the next nine are queued, while
/// it sleeps in `epoll_wait(2)` without accepting them.
#[test]
fn haproxy_at_its_own_limit_does_not_want_to_accept() {
    const MOST: u32 = 4;
    natively(|root| {
        let server = start(root, &Plan::haproxy(PORT, MOST, 8));
        let own = BTreeSet::from([server.main()]);
        let tracer = Tracer::start(&["-q", "--port", PORT_TEXT], LIMIT).unwrap();
        let kept = keep(root, MOST, &own);
        let queued = fill(8);
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert_accepts("haproxy", &run, summary, &[(server.main(), MOST.into())].into());
        let threads = proc::threads(server.main());
        let look = assert_looked_at("haproxy", &run, &own, threads);
        let said = "in epoll_wait (";
        let so = "not accepting although the queue is full (a connection limit of its own?)";
        let text = look["text"].as_str().unwrap();
        assert!(text.contains(said) && text.contains(so), "{text}");
        let why = assert_verdict("haproxy", summary, "acceptor_stalled");
        assert!(why.contains("9 are still queued") && why.contains(so), "{why}");
        // The cause was its limit: it continues when the accepted clients leave.
        drop((kept, queued));
        answers(PORT).unwrap();
    });
}

/// An event loop that blocks for 20 ms for each of 60 clients, which arrive within half a second:
/// more than 16 are then queued, and the others are admitted with a retry. The number from one such
/// episode refuses nobody in nine of ten repetitions. So one of three repetitions (`BACKLOG_RUNS`)
/// may refuse clients, which is printed.
#[test]
fn what_uvicorn_is_advised_after_one_episode_is_enough() {
    natively(|root| {
        let load = || {
            let gap = Duration::from_millis(8);
            let answers = one_by_one(PORT, 60, gap, "/?0.02").unwrap();
            let mut by = ByProcess::new();
            add(&mut by, &answers);
            by
        };
        let server = start(root, &Plan::uvicorn(PORT, 16));
        let own = BTreeSet::from([server.main()]);
        let tracer = Tracer::start(&["-q", "--port", PORT_TEXT], LIMIT).unwrap();
        let mut truth = ByProcess::new();
        add(&mut truth, &[ask(PORT, "/?0").unwrap()]);
        for (process, count) in load() {
            *truth.entry(process).or_default() += count;
        }
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert_accepts("uvicorn", &run, summary, &truth);
        assert_looked_at("uvicorn", &run, &own, proc::threads(server.main()));
        let why = assert_verdict("uvicorn", summary, "raise");
        assert_eq!(summary.episodes["count"], 1, "{why}");
        let advised = u32::try_from(summary.sizing["backlog"].as_u64().unwrap()).unwrap();
        server.stop().unwrap();

        let server = start(root, &Plan::uvicorn(PORT, advised));
        let repeats: u32 = env::var("BACKLOG_RUNS").map_or(3, |runs| runs.parse().unwrap());
        let refused = (0..repeats).filter(|_| {
            let before = Counters::read().unwrap();
            load();
            let after = Counters::read().unwrap().change_since(&before);
            counter(&after, "ListenOverflows") > 0
        });
        let refused = u32::try_from(refused.count()).unwrap();
        let _ = writeln!(stderr(), "uvicorn, {advised}: {refused} of {repeats} refused; {why}");
        assert!(refused <= repeats.div_ceil(10), "{refused} of {repeats} at {advised}: {why}");
        server.stop().unwrap();
    });
}

/// This many silent clients, each taken by one of the acceptors. Returns when none is queued any
/// more, and all of the acceptors' threads sleep.
fn keep(root: &Root, count: u32, acceptors: &BTreeSet<u32>) -> Vec<TcpStream> {
    let kept: Vec<TcpStream> = (0..count).map(|_| silent(PORT, LIMIT).unwrap()).collect();
    let none_queued = || Ok(ss::listeners(root)?.iter().all(|row| row.depth == 0));
    wait_until("the server to take them", LIMIT, none_queued).unwrap();
    thread::sleep(A_WHILE);
    let asleep = || Ok(acceptors.iter().all(|process| proc::all_asleep(*process)));
    wait_until("the acceptors to sleep", LIMIT, asleep).unwrap();
    kept
}

/// Such clients until the queue is full, which holds one more than its limit, and one that is
/// refused for longer than it takes to detect a stall.
fn fill(limit: usize) -> Vec<TcpStream> {
    let queued: Vec<TcpStream> = (0..=limit).map(|_| silent(PORT, LIMIT).unwrap()).collect();
    assert!(silent(PORT, PATIENCE).is_err(), "{} are queued, but there is room", queued.len());
    queued
}
