//! Clients whose cookie ACK was refused, and what they send once there is room again.

use anyhow::Result;

use crate::packets::client::Client;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::segment::Segment;
use crate::packets::stage::Stage;

/// Four clients whose ACK is refused. Once there is room, the first one sends its FIN, having
/// waited in vain; the second repeats its ACK and the third sends data, since both are still there.
/// The fourth has sent its FIN, which was refused, and then an ACK. The kernel creates a connection
/// for each.
pub(super) fn cookies(stage: &mut Stage, options: &Options) -> Result<Done> {
    let fits = options.backlog() + 1;
    let lucky = stage.new_clients(fits);
    let refused = stage.new_clients(4);
    for clients in [&lucky, &refused] {
        stage.syn(clients)?;
        stage.await_syn_acks(clients)?;
    }
    stage.ack(&lucky)?;
    stage.await_depth(fits.into())?;
    stage.ack(&refused)?;
    stage.send(fin(stage, refused[3])?)?;
    stage.take_in()?;
    stage.accept(fits)?;
    for (client, depth) in refused.iter().zip(1..) {
        let packet = match depth {
            1 => fin(stage, *client)?.to_packet()?,
            3 => stage.last_ack(*client)?.to_packet_with(&[], b"hello")?,
            _ => stage.last_ack(*client)?.to_packet()?,
        };
        stage.send_packet(&packet)?;
        stage.await_depth(depth)?;
    }
    let returned = u16::try_from(refused.len())?;
    stage.accept(returned)?;
    let sent = u64::from(fits + returned);
    let packets = u64::from(returned) + 1;
    let mut done = Done::refused(refused, 1).enqueued(sent).kernel("ListenOverflows", packets);
    (done.packets, done.sk_drops, done.accepted) = (packets, packets, sent);
    let done = done.cookies_sent(sent).cookies_valid(sent + packets);
    Ok(done.beside("syn_cookie_accepted", sent).beside("abandoned_fin", 1))
}

/// The FIN of a client that has sent nothing.
fn fin(stage: &Stage, client: Client) -> Result<Segment> {
    Ok(Segment { fin: true, ..stage.last_ack(client)? })
}
