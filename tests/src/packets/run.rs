//! A run from the namespace to the truth, which ends by comparing the sent packets with the
//! kernel's counters. Only a truth that the kernel confirms can serve to test a tracer.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::done::Done;
use super::listen::absent;
use super::options::Options;
use super::plays::{play, settings};
use super::stage::Stage;
use super::truth::Truth;
use crate::clock::wait_until;
use crate::counters::{Changes, Counters, WATCHED};
use crate::handshake::wait_for_file;
use crate::netns;

/// The time limit for counting the last packets.
const LIMIT: Duration = Duration::from_secs(5);

/// The truth, and the counters that disagree with it.
pub type Told = (Truth, Vec<String>);

/// Runs the scenario, and prints the truth while the listener still exists. Also returns the
/// counters that disagree with it, as text; there should be none.
///
/// # Errors
/// When it cannot be run or printed.
pub fn run(options: &Options, tell: impl FnOnce(&Truth) -> Result<()>) -> Result<Told> {
    options.check()?;
    let blank = Truth {
        scenario: options.scenario.name(),
        port: options.port,
        limit: options.backlog().into(),
        ..Truth::default()
    };
    if let Some(why) = absent(options.scenario)? {
        let truth = Truth { absent: Some(why), ..blank };
        tell(&truth)?;
        return Ok((truth, Vec::new()));
    }
    if !options.current_netns {
        netns::enter_fresh()?;
    }
    let _settings = settings(options.scenario)?;
    let mut stage = Stage::set_up(options)?;
    options.handshake.meet()?;

    let before = Counters::read()?;
    let done = play(&mut stage, options)?;
    let kernel = settled(&stage, &done, &before)?;
    let truth = Truth { port: stage.port(), kernel, ..account(&stage, &done, blank, options)? };
    let wrong = disagreements(&stage, &done, &truth)?;
    tell(&truth)?;
    if let Some(file) = &options.stay_until_file {
        wait_for_file(file, options.handshake.wait_limit)?;
    }
    Ok((truth, wrong))
}

/// The kernel's counters once the last packets are processed, which is when the last one is
/// counted. One too many would have been counted before, or is found by the comparison.
fn settled(stage: &Stage, done: &Done, before: &Counters) -> Result<Changes> {
    let counted = || -> Result<Changes> { Ok(Counters::read()?.change_since(before)) };
    let should = done.counters();
    let _in_vain = wait_until("the last packets to be counted", LIMIT, || {
        let is = counted()?;
        let drops = stage.sk_drops()?.is_none_or(|drops| drops >= done.sk_drops);
        Ok(drops && should.iter().all(|(name, count)| is.get(*name).copied() >= Some(*count)))
    });
    counted()
}

/// The truth, except for the kernel's part.
fn account(stage: &Stage, done: &Done, blank: Truth, options: &Options) -> Result<Truth> {
    let cause = options.scenario.cause().filter(|_| done.packets > 0);
    Ok(Truth {
        expected: cause.map(|cause| (cause.to_owned(), done.packets)).into_iter().collect(),
        enqueued: done.enqueued,
        accepted: done.accepted,
        beside: done.beside_to_the_end(),
        uncounted: done.uncounted,
        clients: done.refused.iter().map(|client| client.hit()).collect(),
        sk_drops: stage.sk_drops()?,
        absent: done.absent.clone(),
        listeners: done.listeners.clone(),
        ..blank
    })
}

/// The numbers that disagree with the packets, as text.
fn disagreements(stage: &Stage, done: &Done, truth: &Truth) -> Result<Vec<String>> {
    let should = done.counters();
    let mut numbers: BTreeMap<&str, (u64, u64)> = WATCHED
        .into_iter()
        // It changes whenever a SYN-ACK is repeated, which depends on timing.
        .filter(|name| *name != "TCPTimeouts")
        .map(|name| {
            let is = truth.kernel.get(name).copied().unwrap_or(0);
            (name, (is, should.get(name).copied().unwrap_or(0)))
        })
        .collect();
    if !stage.listeners().is_empty() {
        numbers.insert("the accept queue's length", (stage.depth()?, done.queued()));
    }
    if let Some(drops) = truth.sk_drops {
        numbers.insert("sk_drops", (drops, done.sk_drops));
    }
    Ok(numbers
        .into_iter()
        .filter(|(_, (is, should))| is != should)
        .map(|(what, (is, should))| format!("{what} is {is} where the packets make it {should}"))
        .collect())
}
