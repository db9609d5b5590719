//! Listeners that close with connections in their queue: these die, or migrate to another listener
//! of the port.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::{LIMIT, Stage};
use crate::packets::truth::Share;
use crate::socket;

/// Fills the queue, then closes the listener: it sends a reset for each connection, and no loss
/// counter changes.
pub(super) fn killed(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(options.backlog() + 1)?;
    stage.close(0);
    let count = u64::from(options.backlog()) + 1;
    Ok(Done { killed: count, ..Done::default().enqueued(count) })
}

/// Connections to two listeners of one port; the one with more of them closes, and the other
/// accepts all.
pub(super) fn migrated(stage: &mut Stage, options: &Options) -> Result<Done> {
    stage.fill(options.count())?;
    let mut depths = Vec::new();
    for listener in stage.listeners() {
        depths.push(u64::from(socket::queue(listener)?.depth));
    }
    let [first, second] = depths[..] else { anyhow::bail!("not two listeners") };
    let (place, moved, own) = if first >= second { (0, first, second) } else { (1, second, first) };
    stage.close(place);
    let all = moved + own;
    stage.await_depth(all)?;
    accept(stage, all)?;

    let beside = |name: &str| BTreeMap::from([(name.to_owned(), moved)]);
    let closed = Share { enqueued: moved, accepted: 0, beside: beside("migrated") };
    let stays = Share { enqueued: own, accepted: all, beside: beside("migrated_in") };
    let done = Done { accepted: all, listeners: vec![closed, stays], ..Done::default() };
    let done = done.enqueued(all).beside("migrated", moved).beside("migrated_in", moved);
    Ok(done.kernel("TCPMigrateReqSuccess", moved))
}

/// Accepts this many connections from the only listener.
fn accept(stage: &Stage, count: u64) -> Result<()> {
    let listener = stage.listener()?;
    for _ in 0..count {
        ensure!(socket::readable(listener, LIMIT)?, "nothing to accept");
        listener.accept().context("accept")?;
    }
    Ok(())
}
