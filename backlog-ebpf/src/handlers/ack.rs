//! The last ACK of a handshake: `tcp_check_req`.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    enqueue, listener,
    packet_drop::{self, PacketDrop},
    syn,
};
use crate::kernel::{
    globals::{NET_ABORT_ON_OVERFLOW, SKC_NET, SKC_NULLS_PPREV, SKC_STATE, TREQ_RCV_ISN},
    mptcp,
    pointers::KernelPtr,
    read, sock,
    types::{Net, Request, SkBuff, Sock, TCP_FIN, TCP_LISTEN},
};
use crate::state::{
    filter, listener_cache, mib_snapshot,
    scratch::{self, DropHint},
    values::MibCounts,
};

/// Hook: `tcp_check_req(sk, skb, req, fastopen, …)` returned `child`, which is null if the packet
/// created no connection. With `fastopen` the socket is a child, which has no queue.
///
/// The child has been queued, and another CPU may have accepted it by now; this CPU still holds its
/// lock.
#[inline(always)]
pub(crate) fn done<C: KernelPtr<Sock>>(
    sk: impl KernelPtr<Sock>,
    skb: *const SkBuff,
    req: impl KernelPtr<Request>,
    fastopen: u64,
    child: C,
) {
    if fastopen & 0xff != 0 {
        return;
    }
    if child.address().is_null() {
        return nothing(sk.address(), skb, req.address());
    }
    if filter::listener(sk)
        && filter::connection(child)
        && let Some(known) = listener::known_of(sk.address())
        && !(known.joins && mptcp::is_join_child(child))
    {
        enqueue::on_enqueue(known.slot, sk, child);
    }
}

/// The packet created no connection.
#[inline(always)]
fn nothing(sk: *const Sock, skb: *const SkBuff, req: *const Request) {
    let hint = scratch::take_hint();
    let net: *const Net = read::pointer(sk, &SKC_NET);
    // This applies to filtered ports too: the next snapshot must not include this packet's moves.
    let moved = mib_snapshot::snapshot_delta(net);
    if !filter::listener(sk) || !filter::request(req) {
        return;
    }
    let Some(mut moved) = moved else {
        if sock::has_dropped(sk) {
            mib_snapshot::count_hidden();
        }
        return;
    };
    moved.at_most(listener_cache::drops_since(listener_cache::find(sk), sk));
    let fin = || u32::from(read::flags(skb)) & TCP_FIN != 0;
    let who = || (read::remote(req), isn(req));
    if moved.drops != 0 {
        if let Some(tracked) = listener::of(sk) {
            let (cause, sk_drops) = classify_drop(net, &moved);
            let dropped = PacketDrop { cause, sk_drops, counted: true };
            // SAFETY: this CPU's element of the per-CPU array.
            syn::count_unrecorded(unsafe { &mut *tracked.totals }, &dropped, moved.drops - 1);
            packet_drop::count_drop(sk, tracked, dropped, fin, who);
        }
    } else if matches!(hint, DropHint::NotQueued) {
        if let Some(tracked) = listener::of(sk) {
            // The listener has left LISTEN since the kernel found it, or there was no memory to
            // migrate the request to another listener.
            let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
            let cause = if listens { Cause::NoChild } else { Cause::ListenerLeft };
            packet_drop::count_drop(
                sk,
                tracked,
                PacketDrop { cause, sk_drops: 1, counted: false },
                fin,
                who,
            );
        }
    } else if moved.resets != 0 || read::field::<_, u64>(req, &SKC_NULLS_PPREV) != 0 {
        // The request still exists, or this packet removed it. If another CPU had created the
        // connection, it would have removed the request.
        ignored(sk);
    }
}

/// The cause, and by how much the packet moves `sk_drops`.
#[inline(always)]
fn classify_drop(net: *const Net, moved: &MibCounts) -> (Cause, u64) {
    let full = moved.overflows != 0;
    if moved.resets != 0 {
        return (if full { Cause::AcceptQueueFullReset } else { Cause::NoChild }, 2);
    }
    // The counter does not move if another CPU has removed the request meanwhile. The kernel still
    // sends the reset, and processes the packet again instead of discarding it.
    let resets = read::field::<_, u8>(net, &NET_ABORT_ON_OVERFLOW) != 0;
    match (full, resets) {
        (true, true) => (Cause::AcceptQueueFullReset, 1),
        (true, false) => (Cause::AcceptQueueFullAck, 2),
        (false, true) => (Cause::NoChild, 1),
        (false, false) => (Cause::NoChild, 2),
    }
}

/// The kernel discards the packet and waits for another one.
#[inline(always)]
fn ignored(sk: *const Sock) {
    if let Some(tracked) = listener::find(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &mut *tracked.totals };
        totals.beside[Beside::Ignored as usize] += 1;
        totals.sk_drops += 1;
    }
}

/// The client's initial sequence number.
#[inline(always)]
pub(crate) fn isn(req: *const Request) -> u32 {
    read::field(req, &TREQ_RCV_ISN)
}
