//! Packets that the kernel discards or refuses without a loss for the queue, although a counter
//! changes that is taken for losses.

use anyhow::Result;

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// The option `MP_JOIN` of a SYN: kind 30, length 12, subtype 1, then the address ID, the token of
/// a connection that does not exist, and a random number.
const MP_JOIN: [u8; 12] = [30, 12, 0x10, 2, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

/// SYNs that try to join an unknown MPTCP connection. Each gets a reset; `ListenDrops` changes,
/// although no connection was going to be queued.
pub(super) fn join_refused(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn_with(&clients, &MP_JOIN, &[])?;
    let count = clients.len() as u64;
    stage.await_resets(count)?;
    stage.ensure_no_syn_acks(&clients)?;
    let done = Done::default().beside("join_refused", count);
    Ok(done.kernel("ListenDrops", count).kernel("OutRsts", count))
}

/// Requests that end because the network reports their client as unreachable. The kernel counts
/// each like a refused SYN.
pub(super) fn unreachable(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn(&clients)?;
    stage.await_syn_acks(&clients)?;
    stage.unreachable(&clients)?;
    let count = clients.len() as u64;
    let mut done = Done::default().beside("unreachable", count);
    done.sk_drops = count;
    Ok(done.kernel("ListenDrops", count))
}

/// From each client: a SYN and its duplicate, a bare ACK while the listener waits for data
/// (`TCP_DEFER_ACCEPT`), and a reset. All but the first change the listener's `sk_drops`.
pub(super) fn harmless(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn(&clients)?;
    stage.await_syn_acks(&clients)?;
    stage.syn(&clients)?;
    stage.ack(&clients)?;
    stage.reset(&clients)?;
    let count = clients.len() as u64;
    let mut done = Done::default().beside("ignored", 3 * count);
    done.sk_drops = 3 * count;
    Ok(done.kernel("TCPDeferAcceptDrop", count).kernel("EmbryonicRsts", count))
}
