//! The four ways to overflow an accept queue, each with an exact number of refused packets. The
//! queue is full if depth > limit, so limit + 1 connections fit. A SYN queue with that limit holds
//! at least limit requests (one more in some kernels).

use anyhow::{Result, ensure};

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// A full queue, then SYNs.
pub(super) fn syn_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(fits(options))?;
    let refused = stage.new_clients(options.count());
    for _ in 0..options.times() {
        stage.syn(&refused)?;
    }
    stage.ensure_no_syn_acks(&refused)?;
    Ok(overflow(Done::refused(refused, options.times()), options))
}

/// A queue with room for two, the number of half-open requests that certainly fit, and then the
/// final ACKs of all of these.
pub(super) fn ack_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(options.backlog() - 1)?;
    let half_open = stage.new_clients(options.backlog());
    stage.syn(&half_open)?;
    stage.await_syn_acks(&half_open)?;
    let (lucky, refused) = half_open.split_at(2);
    stage.ack(lucky)?;
    stage.await_depth(fits(options).into())?;
    for _ in 0..options.times() {
        stage.ack(refused)?;
    }
    Ok(overflow(Done::refused_acks(refused.to_vec(), options.times()), options))
}

/// The same, answered with resets.
pub(super) fn abort_on_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    let done = ack_overflow(stage, options)?;
    let packets = done.packets;
    stage.await_resets(packets)?;
    ensure!(stage.resets == packets, "more resets than refusals");
    Ok(done.kernel("EmbryonicRsts", packets).kernel("OutRsts", packets))
}

/// Cookies for more clients than fit, then the ACKs of all of these.
pub(super) fn cookie_overflow(stage: &mut Stage, options: &Options) -> Result<Done> {
    let lucky = stage.new_clients(fits(options));
    let refused = stage.new_clients(options.count());
    stage.syn(&lucky)?;
    stage.syn(&refused)?;
    stage.await_syn_acks(&lucky)?;
    stage.await_syn_acks(&refused)?;
    stage.ack(&lucky)?;
    stage.await_depth(fits(options).into())?;
    for _ in 0..options.times() {
        stage.ack(&refused)?;
    }
    let accepted = u64::from(fits(options));
    let sent = accepted + refused.len() as u64;
    let done = Done::refused(refused, options.times());
    let valid = accepted + done.packets;
    let done = done.cookies_sent(sent).cookies_valid(valid);
    Ok(overflow(done.beside("syn_cookie_accepted", accepted), options))
}

/// The number of connections that fit into the queue.
fn fits(options: &Options) -> u16 {
    options.backlog() + 1
}

/// Adds the full queue, and the reason why the packets were refused.
fn overflow(done: Done, options: &Options) -> Done {
    let packets = done.packets;
    done.enqueued(fits(options).into()).kernel("ListenOverflows", packets)
}
