//! Packets that the kernel discards or refuses with no loss for the queue,
//! though a counter that is taken for losses moves.

use anyhow::Result;

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// A SYN's `MP_JOIN`: kind 30, length 12, subtype 1, then the address id, the
/// token of a connection that does not exist, and a random number.
const MP_JOIN: [u8; 12] = [30, 12, 0x10, 2, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

/// SYNs that ask to join an MPTCP connection nobody knows. A reset answers
/// each; `ListenDrops` moves, though no connection was to be queued.
pub(super) fn join_refused(stage: &mut Stage, options: &Options) -> Result<Done> {
    let clients = stage.new_clients(options.count());
    stage.syn_with(&clients, &MP_JOIN, &[])?;
    let count = clients.len() as u64;
    stage.await_resets(count)?;
    stage.ensure_no_syn_acks(&clients)?;
    let done = Done::default().beside("join_refused", count);
    Ok(done.kernel("ListenDrops", count).kernel("OutRsts", count))
}

/// Requests that end because the network says that their client cannot be reached. The
/// kernel counts each like a refused SYN.
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

/// Of each client: a SYN and its duplicate, a bare ACK while the listener waits
/// for data (`TCP_DEFER_ACCEPT`), and a reset. All but the first move the
/// listener's `sk_drops`.
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
