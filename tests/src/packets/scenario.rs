//! The four ways to overflow an accept queue, each with an exact number of
//! refused packets. Full is depth > limit, so limit + 1 connections fit; a SYN
//! queue of that limit surely takes limit requests (some kernels one more).

use anyhow::{Result, ensure};

use super::options::{Options, Scenario};
use super::stage::{Client, Stage};
use crate::sysctl::Sysctl;

/// What was provoked.
#[derive(Debug)]
pub(super) struct Done {
    /// Those refused, once each.
    pub(super) refused: Vec<Client>,
    /// The refused packets.
    pub(super) packets: u64,
}

/// The settings that a scenario needs; they are restored when dropped.
pub(super) fn settings(scenario: Scenario) -> Result<Vec<Sysctl>> {
    let cookies = match scenario {
        // Always: every SYN is answered by a cookie, none is queued.
        Scenario::CookieOverflow => "2",
        // Not 0: that brings tcp_max_syn_backlog and its last quarter in.
        Scenario::SynOverflow | Scenario::AckOverflow | Scenario::AbortOnOverflow => "1",
    };
    let abort = if scenario == Scenario::AbortOnOverflow { "1" } else { "0" };
    Ok(vec![
        Sysctl::set("net.ipv4.tcp_syncookies", cookies)?,
        Sysctl::set("net.ipv4.tcp_abort_on_overflow", abort)?,
    ])
}

/// Plays it.
pub(super) fn play(stage: &mut Stage, options: &Options) -> Result<Done> {
    match options.scenario {
        Scenario::SynOverflow => syn_overflow(stage, options),
        Scenario::CookieOverflow => cookie_overflow(stage, options),
        Scenario::AckOverflow => ack_overflow(stage, options),
        Scenario::AbortOnOverflow => {
            let done = ack_overflow(stage, options)?;
            stage.await_resets(done.packets)?;
            ensure!(stage.resets == done.packets, "more resets than refusals");
            Ok(done)
        }
    }
}

/// A full queue, then SYNs.
fn syn_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(options.backlog + 1)?;
    let refused = stage.new_clients(options.count);
    for _ in 0..=options.retries {
        stage.syn(&refused)?;
    }
    stage.ensure_no_syn_acks(&refused)?;
    Ok(done(refused, options))
}

/// A queue with room for two, as many half-open requests as surely fit, and
/// then the final ACKs of all of these.
fn ack_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(options.backlog - 1)?;
    let half_open = stage.new_clients(options.backlog);
    stage.syn(&half_open)?;
    stage.await_syn_acks(&half_open)?;
    let (lucky, refused) = half_open.split_at(2);
    stage.ack(lucky)?;
    stage.await_depth(u64::from(options.backlog) + 1)?;
    for _ in 0..=options.retries {
        stage.ack(refused)?;
    }
    Ok(done(refused.to_vec(), options))
}

/// Cookies for more than fit, then the ACKs of all of these.
fn cookie_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    let lucky = stage.new_clients(options.backlog + 1);
    let refused = stage.new_clients(options.count);
    stage.syn(&lucky)?;
    stage.syn(&refused)?;
    stage.await_syn_acks(&lucky)?;
    stage.await_syn_acks(&refused)?;
    stage.ack(&lucky)?;
    stage.await_depth(u64::from(options.backlog) + 1)?;
    for _ in 0..=options.retries {
        stage.ack(&refused)?;
    }
    Ok(done(refused, options))
}

fn done(refused: Vec<Client>, options: &Options) -> Done {
    let packets = refused.len() as u64 * (1 + u64::from(options.retries));
    Done { refused, packets }
}
