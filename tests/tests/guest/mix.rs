//! A random mix of crafted packets: two sequences of programs in parallel, each program in a
//! network namespace of its own, all during one run of the tool. The tool must report each part as
//! if it had run alone.
//!
//! `BACKLOG_SEED` (1) chooses the mix, `BACKLOG_STEPS` (24) its length: the same seed makes the
//! same mix anywhere.

use std::env;
use std::fmt::Write;

use backlog_tests::packets::Scenario;
use fastrand::Rng;

use super::compare::assert_as_sent;
use super::help::{in_guest, program, trace_as};

/// Without those that wait for timers, and without the race.
const SCENARIOS: [Scenario; 17] = [
    Scenario::SynOverflow,
    Scenario::AckOverflow,
    Scenario::CookieOverflow,
    Scenario::AbortOnOverflow,
    Scenario::SynQueueFull,
    Scenario::LastQuarter,
    Scenario::SynQueueCookies,
    Scenario::CookieFailed,
    Scenario::NoRouteSyn,
    Scenario::NoRouteAck,
    Scenario::NoRouteCookie,
    Scenario::JoinRefused,
    Scenario::Unreachable,
    Scenario::Harmless,
    Scenario::FastopenFull,
    Scenario::Killed,
    Scenario::Migrated,
];

/// A maximum for the number of clients, so that a mix takes seconds.
const CLIENTS: u16 = 40;

#[test]
fn a_mix_by_chance_is_seen_as_it_was_sent() {
    in_guest(|| {
        let seed = from_environment("BACKLOG_SEED", 1);
        let steps = from_environment("BACKLOG_STEPS", 24);
        let mut chance = Rng::with_seed(seed);
        let plays: Vec<String> = (0..steps).map(|_| play(&mut chance)).collect();
        let names: Vec<String> = plays
            .iter()
            .enumerate()
            .map(|(step, play)| format!("seed {seed}, step {step}: {play}"))
            .collect();
        let variants: Vec<_> =
            names.iter().map(String::as_str).zip(plays.iter().cloned()).collect();
        let batch = trace_as(&program("backlog-packets"), &variants, in_two_lanes);
        for part in &batch.parts {
            assert_as_sent(part);
        }
        let all = batch.parts.iter().map(|part| part.drops.len()).sum::<usize>();
        assert_eq!(batch.run.drops().count(), all, "seed {seed}: drop lines without a program");
    });
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A random scenario within its limits, as arguments.
fn play(chance: &mut Rng) -> String {
    let scenario = chance.choice(SCENARIOS).unwrap();
    let backlogs = scenario.backlogs();
    let backlog = chance.u16(*backlogs.start()..=*backlogs.end());
    let family = chance.choice(["v4", "v6", "dual"]).unwrap();
    let mut play = format!("{} --backlog {backlog} --family {family}", scenario.name());
    if let Some(most) = scenario.most(backlog) {
        let _ = write!(play, " --count {}", chance.u16(1..=most.min(CLIENTS)));
    }
    if scenario.repeats() {
        let _ = write!(play, " --retries {}", chance.u16(0..=2));
    }
    play
}

/// Runs every other command in one sequence and the rest in another; both must succeed.
fn in_two_lanes(commands: &[String]) -> String {
    let lane = |first: usize| -> String {
        let lane: Vec<&str> = commands.iter().skip(first).step_by(2).map(String::as_str).collect();
        lane.join(" && ")
    };
    let (one, other) = (lane(0), lane(1));
    format!("( {one} ) & one=$!; ( {other} ) & other=$!; wait $one && wait $other")
}

#[test]
fn the_same_seed_makes_the_same_mix() {
    let mix = |seed| {
        let mut chance = Rng::with_seed(seed);
        (0..100).map(|_| play(&mut chance)).collect::<Vec<String>>()
    };
    assert_eq!(mix(1), mix(1));
    assert_ne!(mix(1), mix(2));
    let commands = ["a", "b", "c"].map(str::to_owned);
    let line = in_two_lanes(&commands);
    assert!(line.starts_with("( a && c ) & ") && line.contains("( b )"), "{line}");
}
