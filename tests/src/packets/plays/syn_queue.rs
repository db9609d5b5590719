//! A full SYN queue. The backlog limits it like the accept queue, but old kernels hold as many
//! requests, newer ones (5.10.234, 6.1.128, 6.12.10, 6.14) one more. Received SYN-ACKs and a
//! counter show which.

use anyhow::{Result, bail, ensure};

use crate::clock::wait_until;
use crate::counters::Counters;
use crate::packets::client::Client;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::{LIMIT, Stage};

/// `tcp_max_syn_backlog` for the last-quarter rule.
pub(super) const MAX_SYN_BACKLOG: &str = "8";
/// The number of requests that it keeps: a SYN is refused if fewer than a quarter of 8 places are
/// free.
const KEPT: u16 = 7;

/// Half-open requests until no more fit, then SYNs.
pub(super) fn full(stage: &mut Stage, options: &Options) -> Result<Done> {
    let beyond = fill(stage, options.backlog(), "TCPReqQFullDrop")?;
    let mut refused = Vec::from_iter(beyond);
    // The first one was refused already, and is repeated as often as the others.
    let fresh = stage.new_clients(options.count() - len(&refused));
    stage.syn(&fresh)?;
    refused.extend(fresh);
    for _ in 1..options.times() {
        stage.syn(&refused)?;
    }
    stage.ensure_no_syn_acks(&refused)?;
    let kept = kept(options, beyond);
    let done = with_pruned(Done::refused(refused, options.times()), stage, kept)?;
    let packets = done.packets;
    Ok(done.kernel("TCPReqQFullDrop", packets))
}

/// As many half-open requests as the last-quarter rule permits, then SYNs.
pub(super) fn last_quarter(stage: &mut Stage, options: &Options) -> Result<Done> {
    let kept = stage.new_clients(KEPT);
    stage.syn(&kept)?;
    stage.await_syn_acks(&kept)?;
    let refused = stage.new_clients(options.count());
    for _ in 0..options.times() {
        stage.syn(&refused)?;
    }
    stage.ensure_no_syn_acks(&refused)?;
    with_pruned(Done::refused(refused, options.times()), stage, KEPT)
}

/// Half-open requests until no more fit, then clients that get a cookie and enter the accept queue
/// with it.
pub(super) fn cookies(stage: &mut Stage, options: &Options) -> Result<Done> {
    let beyond = fill(stage, options.backlog(), "TCPReqQFullDoCookies")?;
    let mut clients = Vec::from_iter(beyond);
    let fresh = stage.new_clients(options.count() - len(&clients));
    stage.syn(&fresh)?;
    clients.extend(fresh);
    stage.await_syn_acks(&clients)?;
    stage.ack(&clients)?;
    let count = clients.len() as u64;
    stage.await_depth(count)?;
    let done = Done::default().enqueued(count).cookies_sent(count).cookies_valid(count);
    with_pruned(done.beside("syn_cookie_accepted", count), stage, kept(options, beyond))
}

/// The number of requests in a full queue: it contains the last one that was sent, or that one was
/// `beyond`.
fn kept(options: &Options, beyond: Option<Client>) -> u16 {
    options.backlog() + u16::from(beyond.is_none())
}

/// Adds those of `kept` requests that the kernel has given up because the queue is more than half
/// full: that takes seconds, which can pass on a slow machine.
fn with_pruned(done: Done, stage: &Stage, kept: u16) -> Result<Done> {
    Ok(match u64::from(kept).saturating_sub(stage.requests()?) {
        0 => done,
        pruned => done.beside("pruned", pruned),
    })
}

/// Sends SYNs until one finds the queue full, as `counter` shows. Returns that one, if it was sent
/// within the two possible sizes.
fn fill(stage: &mut Stage, limit: u16, counter: &str) -> Result<Option<Client>> {
    let sure = stage.new_clients(limit);
    stage.syn(&sure)?;
    stage.await_syn_acks(&sure)?;
    let before = Counters::read()?.get(counter);
    let is_full = || Ok::<_, anyhow::Error>(Counters::read()?.get(counter) > before);
    ensure!(!is_full()?, "{counter} moved before the SYN queue was full");
    let [last] = stage.new_clients(1)[..] else { bail!("no client") };
    stage.syn(&[last])?;
    wait_until("an answer to the last request, or its refusal", LIMIT, || {
        stage.take_in_now()?;
        Ok(is_full()? || stage.is_answered(last))
    })?;
    // A cookie is an answer too, so the counter decides.
    Ok(is_full()?.then_some(last))
}

fn len(clients: &[Client]) -> u16 {
    u16::try_from(clients.len()).unwrap_or(u16::MAX)
}
