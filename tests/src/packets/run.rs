//! A run from the namespace to the truth, with the comparison at its end: the
//! packets sent against the kernel's counters. Only a truth that the kernel
//! confirms is worth testing a tracer with.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::options::{Options, Scenario};
use super::scenario::{Done, play, settings};
use super::stage::Stage;
use super::truth::Truth;
use crate::clock::wait_until;
use crate::counters::{Changes, Counters};
use crate::netns;

/// Longest time for the last packets to be counted.
const LIMIT: Duration = Duration::from_secs(5);

/// Plays the scenario. Beside the truth: the counters that do not agree with
/// it, in words; none is how it should be.
///
/// # Errors
/// When it cannot be played.
pub fn run(options: &Options) -> Result<(Truth, Vec<String>)> {
    options.check()?;
    if !options.current_netns {
        netns::enter_fresh()?;
    }
    let _settings = settings(options.scenario)?;
    let mut stage = Stage::set_up(options)?;
    options.handshake.meet()?;

    let before = Counters::read()?;
    let done = play(&mut stage, options)?;
    let Done { refused, packets } = &done;
    // The packets are through when the last is counted; one too many would
    // have been counted before it or is found by the comparison.
    let counted = || -> Result<Changes> { Ok(Counters::read()?.change_since(&before)) };
    let _in_vain = wait_until("the last packets to be counted", LIMIT, || {
        Ok(counted()?.get("ListenOverflows") >= Some(packets))
    });
    let kernel = counted()?;
    let enqueued = stage.depth()?;
    let name = options.scenario.to_possible_value();
    let name = name.context("a scenario without a name")?;
    let truth = Truth {
        scenario: name.get_name().to_owned(),
        port: stage.port(),
        limit: options.backlog.into(),
        expected: BTreeMap::from([(options.scenario.cause().to_owned(), *packets)]),
        enqueued,
        clients: refused.iter().map(|client| client.hit()).collect(),
        kernel,
    };
    let wrong = disagreements(options, &done, &truth.kernel, enqueued);
    Ok((truth, wrong))
}

/// Each counter that is not what the packets say, in words.
fn disagreements(options: &Options, done: &Done, kernel: &Changes, enqueued: u64) -> Vec<String> {
    let packets = done.packets;
    let fits = u64::from(options.backlog) + 1;
    let resets = match options.scenario {
        Scenario::AbortOnOverflow => packets,
        Scenario::SynOverflow | Scenario::AckOverflow | Scenario::CookieOverflow => 0,
    };
    let cookies = match options.scenario {
        Scenario::CookieOverflow => fits + packets / (1 + u64::from(options.retries)),
        Scenario::SynOverflow | Scenario::AckOverflow | Scenario::AbortOnOverflow => 0,
    };
    let of = |name: &str| kernel.get(name).copied().unwrap_or(0);
    [
        ("ListenOverflows", of("ListenOverflows"), packets),
        ("ListenDrops", of("ListenDrops"), packets),
        ("PassiveOpens", of("PassiveOpens"), fits),
        ("EmbryonicRsts", of("EmbryonicRsts"), resets),
        ("SyncookiesSent", of("SyncookiesSent"), cookies),
        ("the accept queue's length", enqueued, fits),
    ]
    .into_iter()
    .filter(|(_, is, should)| is != should)
    .map(|(what, is, should)| format!("{what} is {is} where the packets make it {should}"))
    .collect()
}
