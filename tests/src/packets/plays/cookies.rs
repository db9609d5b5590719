//! Invalid SYN cookies.

use anyhow::Result;

use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// An ACK number that is not a valid cookie, except by a chance of one in two billion.
const WRONG: u32 = 0x1234_5678;

/// One valid cookie, since the kernel only checks ACKs if it has sent one recently; then ACKs of
/// others with a wrong one. Each gets a reset.
pub(super) fn failed(stage: &mut Stage, options: &Options) -> Result<Done> {
    let asks = stage.new_clients(1);
    stage.syn(&asks)?;
    stage.await_syn_acks(&asks)?;
    for client in stage.new_clients(options.count()) {
        let ack = stage.ack_of(client, WRONG);
        stage.send(ack)?;
    }
    let count = u64::from(options.count());
    stage.await_resets(count)?;
    let done = Done::default().cookies_sent(1).beside("syn_cookie_failed", count);
    Ok(done.kernel("SyncookiesFailed", count).kernel("OutRsts", count))
}
