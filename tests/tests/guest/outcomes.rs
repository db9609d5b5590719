//! What happens to refused clients: only those that are still there when the server accepts their
//! connection count as admitted. Crafted packets provoke this, so that the truth is known for each
//! client. Also tests a client whose listener has been replaced before its retry.

use std::io::ErrorKind;

use backlog_tests::clock::wait_until;
use backlog_tests::packets::Truth;
use backlog_tests::tracer::{Kind, Tracer};
use socket2::{Domain, Protocol, Socket, Type};

use super::blind;
use super::compare::assert_as_sent;
use super::help::{LIMIT, PORT, PORT_TEXT, Part, in_guest, stop, trace_packets};
use super::telling::{address, full_listener, knock};

/// The outcomes that clients are counted by.
const OUTCOMES: [&str; 5] = ["admitted", "gave_up", "reset", "trying", "unknown"];

/// Asserts that each client has one of the outcomes.
fn assert_outcomes(part: &Part<Truth>, expected: &[(&str, u64)]) {
    let Part { name, missed, .. } = part;
    let drops = &part.summary().drops;
    let told: Vec<(&str, u64)> = OUTCOMES.iter().map(|one| (*one, drops.of(one))).collect();
    let sum: u64 = told.iter().map(|(_, count)| count).sum();
    assert_eq!(Some(sum), drops.clients, "{name}: {told:?}");
    for (outcome, count) in expected {
        blind::assert_count(drops.of(outcome), *count, *missed, &format!("{name}: {outcome}"));
    }
}

#[test]
fn a_fin_is_no_return_and_a_reset_is_an_end() {
    in_guest(|| {
        let plays = ["v4", "v6"].map(|family| {
            ["cookie-returns", "abort-on-overflow"]
                .map(|play| format!("{play} --family {family} --current-netns"))
        });
        let plays = plays.concat();
        let variants: Vec<_> = plays.iter().map(|play| (play.as_str(), play.clone())).collect();
        let batch = trace_packets(&variants);
        for part in &batch.parts {
            assert_as_sent(part);
            if part.name.starts_with("cookie") {
                assert_outcomes(part, &[("admitted", 2), ("gave_up", 2), ("believing", 2)]);
            } else {
                let refused = part.truth.clients.len() as u64;
                assert_outcomes(part, &[("reset", refused), ("admitted", 0), ("trying", 0)]);
            }
        }
    });
}

#[test]
fn clients_that_the_successor_of_their_listener_accepts_have_got_in() {
    in_guest(|| {
        const CLIENTS: usize = 3;
        let mut tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        let (listener, queued) = full_listener();
        let clients: Vec<Socket> = (0..CLIENTS).map(|_| knock()).collect();
        let drops = |kind: &Kind| matches!(kind, Kind::Drop(_));
        tracer
            .wait_for("the drops", LIMIT, |lines| {
                lines.iter().filter(|line| drops(&line.kind)).count() >= CLIENTS
            })
            .unwrap();
        drop(listener);
        let successor = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        successor.set_reuse_address(true).unwrap();
        successor.set_nonblocking(true).unwrap();
        successor.bind(&address()).unwrap();
        successor.listen(16).unwrap();
        let mut accepted = Vec::new();
        wait_until("the retries", LIMIT, || {
            match successor.accept() {
                Ok((one, _)) => accepted.push(one),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            Ok(accepted.len() == CLIENTS)
        })
        .unwrap();
        let run = stop(tracer);
        drop((queued, clients, accepted, successor));
        let refusing = run.summaries().find(|one| one.listener.port == PORT && one.drops.total > 0);
        let drops = &refusing.unwrap().drops;
        assert_eq!(drops.clients, Some(CLIENTS as u64), "{drops:?}");
        assert_eq!(drops.of("admitted"), CLIENTS as u64, "{drops:?}");
    });
}
