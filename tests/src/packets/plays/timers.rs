//! Requests that nobody acknowledges: the kernel gives them up when it has sent
//! its last SYN-ACK, or earlier when more than half of the SYN queue is taken.
//!
//! `reqsk_timer_handler`: while qlen * 2 > max(8, limit), a request may have
//! fewer SYN-ACKs the fewer young ones there are (those with no repetition
//! yet), two at least. With no young one left, the third shot of a request's
//! timer, after 1 + 2 + 4 s, is its last. Every death makes the queue shorter,
//! so half of it stays.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::wait_until;
use crate::cpus;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// The kernel looks after one second at the earliest, or after seven.
const LIMIT: Duration = Duration::from_secs(30);

/// With `tcp_synack_retries` 0 the first shot of the timer is the last. The
/// queue is at most half full.
pub(super) fn expired(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn(&clients)?;
    stage.await_syn_acks(&clients)?;
    await_requests(stage, 0)?;
    Ok(Done::default().beside("expired", clients.len() as u64))
}

/// With the usual 5 repetitions, enough requests that all but the half that may stay are given up
/// early. The others would live on for a minute.
pub(super) fn pruned(stage: &mut Stage, options: &Options) -> Result<Done> {
    // All of them on one CPU: a request's timer runs where its SYN came in, and
    // two CPUs that look at the queue at once would give up one too many.
    let cpus = cpus::allowed()?;
    cpus::stay_on(*cpus.first().context("no CPU")?)?;
    let stay = options.backlog().max(8) / 2;
    let clients = stage.new_clients(stay + options.count());
    stage.syn(&clients)?;
    stage.await_syn_acks(&clients)?;
    await_requests(stage, stay.into())?;
    Ok(Done::default().beside("pruned", options.count().into()))
}

fn await_requests(stage: &Stage, count: u64) -> Result<()> {
    let what = format!("the SYN queue to hold {count}");
    wait_until(&what, LIMIT, || Ok(stage.requests()? == count))
}
