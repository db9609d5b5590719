//! Every way in which a listener loses a connection, and those in which it only seems to: crafted
//! packets provoke each one exactly, and it must be recognised. The packets and the kernel's
//! counters are the reference.

use std::fs;
use std::io::{Write, stderr};
use std::process::{Child, Command};

use backlog_tests::handshake::wait_for_file;
use backlog_tests::packets::Truth;
use backlog_tests::tracer::Tracer;

use super::blind;
use super::compare::{
    assert_as_sent, assert_counts, assert_namespace, assert_own_namespace, clients_of, hits,
    is_absent,
};
use super::help::{
    LIMIT, PORT, PORT_TEXT, Part, in_guest, in_guest_once, part, program, read_truth, scratch,
    stop, trace_packets,
};

/// Runs the program in the test's own namespace, where the tool runs as well.
const HERE: &str = "--current-netns";
const FAMILIES: [&str; 3] = ["v4", "v6", "dual"];

/// Runs all scenarios in the test's namespace, during one run of the tool, and checks each by
/// itself and all together.
fn all_as_sent(plays: &[String]) {
    let plays: Vec<String> = plays.iter().map(|play| format!("{play} {HERE}")).collect();
    let variants: Vec<_> = plays.iter().map(|play| (play.as_str(), play.clone())).collect();
    let batch = trace_packets(&variants);
    for part in &batch.parts {
        assert_as_sent(part);
    }
    assert_namespace(&batch);
    let all = batch.parts.iter().map(|part| part.drops.len()).sum::<usize>();
    assert_eq!(batch.run.drops().count(), all, "drop lines without a program");
}

/// Each scenario with each family.
fn in_every_family(scenarios: &[&str]) -> Vec<String> {
    scenarios
        .iter()
        .flat_map(|play| FAMILIES.map(|family| format!("{play} --family {family}")))
        .collect()
}

#[test]
fn the_accept_queue_is_full() {
    in_guest(|| {
        let kinds = ["syn-overflow", "ack-overflow", "cookie-overflow", "abort-on-overflow"];
        let mut plays = in_every_family(&kinds);
        // A repeated packet that is refused again is another drop of the same client.
        plays.extend(kinds[..3].iter().map(|kind| format!("{kind} --backlog 8 --retries 2")));
        all_as_sent(&plays);
    });
}

#[test]
fn the_syn_queue_is_full() {
    in_guest(|| {
        let kinds = ["syn-queue-full", "last-quarter", "syn-queue-cookies", "cookie-failed"];
        let mut plays = in_every_family(&kinds);
        plays.push("syn-queue-full --backlog 16 --count 40 --retries 2".to_owned());
        plays.push("last-quarter --backlog 100 --count 40 --retries 2".to_owned());
        plays.push("syn-queue-cookies --backlog 16 --count 17".to_owned());
        all_as_sent(&plays);
    });
}

#[test]
fn there_is_no_route_to_the_client() {
    in_guest(|| {
        let kinds = ["no-route-syn", "no-route-ack", "no-route-cookie"];
        let mut plays = in_every_family(&kinds);
        plays.extend(kinds.map(|kind| format!("{kind} --backlog 16 --count 9 --retries 2")));
        all_as_sent(&plays);
    });
}

#[test]
fn requests_are_given_up() {
    in_guest(|| {
        let mut plays = in_every_family(&["expired"]);
        // Each takes eight seconds.
        plays.push("pruned --family v4".to_owned());
        plays.push("pruned --family v6 --backlog 40 --count 20".to_owned());
        all_as_sent(&plays);
    });
}

#[test]
fn nothing_is_lost_though_a_counter_moves() {
    in_guest(|| {
        all_as_sent(&in_every_family(&[
            "join-refused",
            "unreachable",
            "harmless",
            "fastopen-full",
        ]));
    });
}

#[test]
fn a_listener_closes_with_its_queue() {
    in_guest(|| all_as_sent(&in_every_family(&["killed", "migrated"])));
}

#[test]
fn a_listener_leaves_while_a_handshake_ends() {
    in_guest(|| all_as_sent(&in_every_family(&["listener-left"])));
}

/// Scenarios that take no longer than their packets, and one each of those with the largest counts.
const QUICK: [&str; 16] = [
    "syn-overflow --retries 1",
    "ack-overflow --retries 1",
    "cookie-overflow --retries 1",
    "abort-on-overflow",
    "syn-queue-full --retries 1",
    "last-quarter --retries 1",
    "syn-queue-cookies",
    "cookie-failed",
    "no-route-syn --family v6",
    "no-route-ack --retries 1",
    "no-route-ack --family v6",
    "no-route-cookie",
    "join-refused",
    "unreachable",
    "harmless",
    "fastopen-full",
];

/// A program that keeps its listener open when it is done.
struct Staying {
    child: Child,
    port: u16,
    play: &'static str,
    truth: Truth,
}

/// Each scenario runs in a namespace of its own, so that its counters are about a single listener,
/// which stays open and shows its `sk_drops`.
#[test]
fn the_kernel_counts_the_same_in_namespaces_elsewhere() {
    in_guest(|| {
        let last = PORT + u16::try_from(QUICK.len()).unwrap() - 1;
        let tracer = Tracer::start(&["--port", &format!("{PORT}-{last}")], LIMIT).unwrap();
        let end = scratch("end");
        let staying: Vec<Staying> = (PORT..=last)
            .zip(QUICK)
            .map(|(port, play)| {
                let out = scratch("truth.json");
                let mut command = packets(play, port);
                // The first one waits for all others, which takes long on a slow machine.
                command.args(["--wait-limit", "300s"]);
                let child = command.arg("--out").arg(&out).arg("--stay-until-file").arg(&end);
                let child = child.spawn().unwrap();
                wait_for_file(&out, LIMIT).unwrap();
                Staying { child, port, play, truth: read_truth(&out) }
            })
            .collect();
        let run = stop(tracer);
        fs::write(&end, "end\n").unwrap();
        for Staying { mut child, port, play, truth } in staying {
            let status = child.wait().unwrap().code();
            assert!(matches!(status, Some(0 | 3)), "{play}: {status:?}");
            let part = part(play, &run, port, truth);
            if !is_absent(&part) {
                assert_open(&part);
            }
        }
        let _ = fs::remove_file(&end);
    });
}

/// Checks a scenario whose listener is still open.
fn assert_open(part: &Part<Truth>) {
    let (name, mut truth, summary) = (&part.name, part.truth.clone(), part.summary());
    // These come later; and requests may have been given up in the meantime.
    for later in ["killed_at_close", "pruned", "expired"] {
        truth.beside.remove(later);
    }
    let mut seen = part.summaries.clone();
    for later in ["pruned", "expired"] {
        seen[0].beside.remove(later);
    }
    assert_counts(name, &blind::as_seen(name, &truth), &seen);
    assert_eq!(summary.queued, truth.enqueued, "{name}: queued");
    assert_own_namespace(name, &truth, summary);
}

/// A scenario for each cause of a drop.
const DROPS: [&str; 10] = [
    "syn-overflow",
    "ack-overflow",
    "cookie-overflow",
    "abort-on-overflow",
    "syn-queue-full",
    "last-quarter",
    "no-route-syn",
    "no-route-ack",
    "no-route-cookie",
    "listener-left",
];

#[test]
fn until_drop_ends_at_the_first_drop_of_every_cause() {
    in_guest_once(|| {
        for play in DROPS {
            if blind::to(&play.replace('-', "_")) {
                let _ = writeln!(stderr(), "not seen by {}: {play}", blind::backend());
                continue;
            }
            let out = scratch("truth.json");
            let arguments = ["--port", PORT_TEXT, "--until-drop"];
            let tracer = Tracer::start(&arguments, LIMIT).unwrap();
            let status = packets(play, PORT).arg("--out").arg(&out).status().unwrap();
            let truth: Truth = read_truth(&out);
            if status.code() == Some(3) {
                // Without a drop the run would never end.
                let part = part(play, &stop(tracer), PORT, truth);
                assert!(is_absent(&part), "{play}: {:?}", part.truth);
                continue;
            }
            assert!(status.success(), "{play}: {status}");
            let run = tracer.wait(LIMIT).unwrap_or_else(|error| panic!("{play}: {error:#}"));
            assert_eq!(run.code(), Some(1), "{play}: {}", run.stderr);
            let first = run.drops().next().unwrap().clone();
            assert!(truth.expected.contains_key(&first.cause), "{play}: {first:?}");
            let named = clients_of(&[first]);
            assert!(named.len() == 1 && named.is_subset(&hits(&truth)), "{play}: {named:?}");
        }
    });
}

/// `backlog-packets` in a namespace of its own.
fn packets(play: &str, port: u16) -> Command {
    let mut command = Command::new(program("backlog-packets"));
    command.args(play.split_whitespace()).arg("--port").arg(port.to_string());
    command
}
