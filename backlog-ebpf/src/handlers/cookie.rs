//! ACKs that belong to no request and may carry a SYN cookie: `cookie_v4_check`, `cookie_v6_check`.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    listener,
    packet_drop::{self, PacketDrop},
    tally,
};
use crate::kernel::{
    globals::{
        MIB_LISTEN_DROPS, MIB_LISTEN_OVERFLOWS, MIB_PASSIVE_OPENS, MIB_SYNCOOKIES_FAILED,
        MIB_SYNCOOKIES_RECV, SKC_NET,
    },
    read,
    types::{SkBuff, Sock, TCP_ACK, TCP_FIN},
};
use crate::state::{
    filter, mib_snapshot,
    scratch::{self, DropHint, TracedFn},
    values::{EntryCounts, KeptPacket},
};

/// Hook: entry of `cookie_v4_check(sk, skb)`. The packet's data is kept, because since 6.9 the
/// kernel may have freed the packet by the exit. (Only packets without SYN that belong to no
/// request get here.)
#[inline(always)]
pub(crate) fn enter(sk: *const Sock, skb: *const SkBuff) {
    if !filter::listener(sk) || !filter::packet(skb) {
        return;
    }
    let (client, sequence) = read::sender(skb);
    scratch::keep_packet(KeptPacket { client, sequence, flags: u32::from(read::flags(skb)) });
    scratch::enter(TracedFn::Cookie, sk, |mib| EntryCounts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        cookie_valid: mib.get(&MIB_SYNCOOKIES_RECV),
        cookie_failed: mib.get(&MIB_SYNCOOKIES_FAILED),
        children: mib.tcp(&MIB_PASSIVE_OPENS),
        ..EntryCounts::default()
    });
}

/// Hook: exit. It returned the child, `sk` itself if there was no cookie, or null if there was one
/// and it created no connection.
#[inline(always)]
pub(crate) fn exit(sk: *const Sock, child: *const Sock) {
    let Some(left) = scratch::leave(TracedFn::Cookie, sk) else {
        return mib_snapshot::refresh_if_moved(read::pointer(sk, &SKC_NET));
    };
    let Some(packet) = scratch::kept_packet() else { return };
    let unqueued = matches!(scratch::take_hint(), DropHint::NotQueued);
    let failed = left.mib.get(&MIB_SYNCOOKIES_FAILED) != left.before.cookie_failed;
    let valid = left.mib.get(&MIB_SYNCOOKIES_RECV) != left.before.cookie_valid;
    // A packet without an ACK carries no cookie, and the listener discards it: a client's reset in
    // answer to an unexpected SYN-ACK.
    let discarded = child == sk && packet.flags & TCP_ACK == 0;
    if !(failed || valid || discarded || child.is_null()) {
        return;
    }
    let Some(tracked) = listener::of(sk) else { return };
    if valid {
        tally::cookies_answered(tracked, 1);
    }
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    if failed {
        totals.beside[Beside::SynCookieFailed as usize] += 1;
    }
    if discarded {
        totals.beside[Beside::Ignored as usize] += 1;
        totals.sk_drops += 1;
    }
    let counted = left.mib.get(&MIB_LISTEN_DROPS) != left.before.drops;
    if counted {
        // The next snapshot must not include this packet's moves.
        mib_snapshot::refresh(left.mib.net() as u64);
    }
    // Without a route the kernel gives up before it creates a child, and counts nothing. If it
    // created one and discarded it, another packet of the client was faster on another CPU, and
    // nothing is lost.
    let childless = left.mib.tcp(&MIB_PASSIVE_OPENS) == left.before.children;
    if !child.is_null() || !(unqueued || counted || (valid && childless)) {
        return;
    }
    let full = left.mib.get(&MIB_LISTEN_OVERFLOWS) != left.before.overflows;
    let details = PacketDrop {
        cause: match (unqueued, full) {
            (true, _) => Cause::ListenerLeft,
            (false, true) => Cause::AcceptQueueFullCookie,
            (false, false) => Cause::NoChild,
        },
        sk_drops: u64::from(counted || unqueued),
        counted,
    };
    // The SYN's sequence number is one less than the ACK's.
    packet_drop::count_drop(
        sk,
        tracked,
        details,
        || packet.flags & TCP_FIN != 0,
        || (packet.client, packet.sequence.wrapping_sub(1)),
    );
}
