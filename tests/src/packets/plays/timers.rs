//! Requests that are never acknowledged: the kernel gives them up after its last SYN-ACK, or
//! earlier if more than half of the SYN queue is in use.
//!
//! `reqsk_timer_handler`: while qlen * 2 > max(8, limit), the maximum number of SYN-ACKs falls with
//! the number of young requests (those without a repetition), to two at least. Without young
//! requests, the third expiry of a request's timer, after 1 + 2 + 4 s, is its last. Every removed
//! request shortens the queue, so half of it stays.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::wait_until;
use crate::cpus;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// The timer expires after one second at the earliest, or after seven.
const LIMIT: Duration = Duration::from_secs(30);

/// With `tcp_synack_retries` 0, the first expiry of the timer is the last. The queue is at most
/// half full.
pub(super) fn expired(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn(&clients)?;
    stage.await_syn_acks(&clients)?;
    await_requests(stage, 0)?;
    Ok(Done::default().beside("expired", clients.len() as u64))
}

/// With the default of 5 repetitions, and enough requests that all but the half that may stay are
/// given up early. The others would stay for a minute.
pub(super) fn pruned(stage: &mut Stage, options: &Options) -> Result<Done> {
    // All on one CPU: a request's timer runs where its SYN arrived, and two CPUs that check the
    // queue at the same time would give up one too many.
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
