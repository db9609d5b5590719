//! Fast Open: a SYN with data is queued for accept at once, but only a limited number of these may
//! have an unfinished handshake.

use anyhow::Result;

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

const DATA: &[u8] = b"hello";

/// One SYN is queued, since there is room for one; the others get an ordinary SYN-ACK, as if they
/// had sent no data.
pub(super) fn full(stage: &mut Stage, options: &Options) -> Result<Done> {
    let first = stage.new_clients(1);
    stage.syn_with(&first, &[], DATA)?;
    stage.await_syn_acks(&first)?;
    stage.await_depth(1)?;
    let others = stage.new_clients(options.count());
    stage.syn_with(&others, &[], DATA)?;
    stage.await_syn_acks(&others)?;
    let count = others.len() as u64;
    let done = Done::default().enqueued(1).beside("fastopen_queue_full", count);
    Ok(done.kernel("TCPFastOpenPassive", 1).kernel("TCPFastOpenListenOverflow", count))
}
