//! Clients without a route from the server: their packets arrive, but the server can neither answer
//! nor create a connection.

use anyhow::Result;

use crate::packets::client::prefixes;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;
use crate::route::Unreachable;

/// SYNs without a route back.
pub(super) fn syn(stage: &mut Stage, options: &Options) -> Result<Done> {
    let refused = stage.new_clients(options.count());
    let _gone = cut_off(stage)?;
    for _ in 0..options.times() {
        stage.syn(&refused)?;
    }
    stage.ensure_no_syn_acks(&refused)?;
    Ok(Done::refused(refused, options.times()))
}

/// The route vanishes between SYN-ACK and final ACK. The request stays, so the ACK can be repeated.
pub(super) fn ack(stage: &mut Stage, options: &Options) -> Result<Done> {
    let refused = stage.new_clients(options.count());
    stage.syn(&refused)?;
    stage.await_syn_acks(&refused)?;
    let _gone = cut_off(stage)?;
    for _ in 0..options.times() {
        stage.ack(&refused)?;
    }
    let done = Done::refused_acks(refused, options.times());
    // IPv4 creates the child before it looks up the route, IPv6 after that.
    let children = if stage.is_v6() { 0 } else { done.packets };
    Ok(done.kernel("PassiveOpens", children))
}

/// The same with SYN cookies. Here the kernel gives up before it counts anything but the valid
/// cookie.
pub(super) fn cookie(stage: &mut Stage, options: &Options) -> Result<Done> {
    let refused = stage.new_clients(options.count());
    stage.syn(&refused)?;
    stage.await_syn_acks(&refused)?;
    let _gone = cut_off(stage)?;
    for _ in 0..options.times() {
        stage.ack(&refused)?;
    }
    let sent = refused.len() as u64;
    let mut done = Done::refused(refused, options.times());
    done.uncounted = done.packets;
    done.sk_drops = 0;
    let valid = done.packets;
    Ok(done.cookies_sent(sent).cookies_valid(valid))
}

/// Removes the routes to all clients, until the guards are dropped.
fn cut_off(stage: &Stage) -> Result<Vec<Unreachable>> {
    let prefixes = prefixes(stage.is_v6()).into_iter();
    prefixes.map(|(address, bits)| Unreachable::add(address, bits)).collect()
}
