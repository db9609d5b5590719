//! The last ACK of a handshake: `tcp_check_req`.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    enqueue, filter,
    globals::{NET_ABORT_ON_OVERFLOW, SKC_NET, SKC_NULLS_PPREV, SKC_STATE, TREQ_RCV_ISN},
    join, listener,
    look::{self, Counted},
    met,
    place::Place,
    read,
    refuse::{Refusal, refused},
    site::{self, Hint},
    syn::unseen,
    types::{Net, Request, SkBuff, Sock, TCP_FIN, TCP_LISTEN},
};

/// Body: `tcp_check_req(sk, skb, req, fastopen, …)` returned `child`, which is null when
/// nothing came of the packet. With `fastopen` the socket is a child, which has no queue.
///
/// The child has been queued, and may have been accepted on another CPU by now; this CPU
/// still has its lock.
#[inline(always)]
pub(crate) fn done<C: Place<Sock>>(
    sk: impl Place<Sock>,
    skb: *const SkBuff,
    req: impl Place<Request>,
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
        && let Some(seen) = listener::of(sk.address())
        && !(seen.joins && join::is_child(child))
    {
        enqueue::added(seen, sk, child);
    }
}

/// Nothing came of it.
#[inline(always)]
fn nothing(sk: *const Sock, skb: *const SkBuff, req: *const Request) {
    let hint = site::told();
    let net: *const Net = read::pointer(sk, &SKC_NET);
    // Whatever the port is: the next look must not find this packet's moves.
    let moved = look::look(net);
    if !filter::listener(sk) || !filter::request(req) {
        return;
    }
    let Some(mut moved) = moved else {
        if listener::has_dropped(sk) {
            look::hidden();
        }
        return;
    };
    moved.at_most(met::refused_since(met::met(sk), sk));
    let fin = || u32::from(read::flags(skb)) & TCP_FIN != 0;
    let who = || (read::remote(req), isn(req));
    if moved.drops != 0 {
        if let Some(seen) = listener::of(sk) {
            let (cause, sk_drops) = verdict(net, &moved);
            // SAFETY: this CPU's element of the per-CPU array.
            unseen(unsafe { &mut *seen.totals }, cause, moved.drops - 1);
            refused(sk, seen, Refusal { cause, sk_drops, counted: true }, fin, who);
        }
    } else if matches!(hint, Hint::NotQueued) {
        if let Some(seen) = listener::of(sk) {
            // Its listener has left LISTEN since the kernel found it, or there was no
            // memory to take it along to another one.
            let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
            let cause = if listens { Cause::NoChild } else { Cause::ListenerLeft };
            refused(sk, seen, Refusal { cause, sk_drops: 1, counted: false }, fin, who);
        }
    } else if moved.resets != 0 || read::field::<_, u64>(req, &SKC_NULLS_PPREV) != 0 {
        // The request is still there, or this packet has ended it. If another CPU had been
        // first, that would have taken it away.
        ignored(sk);
    }
}

/// Why, and how far the packet moves `sk_drops`.
#[inline(always)]
fn verdict(net: *const Net, moved: &Counted) -> (Cause, u64) {
    let full = moved.overflows != 0;
    if moved.resets != 0 {
        return (if full { Cause::AcceptQueueFullReset } else { Cause::NoChild }, 2);
    }
    // The counter does not move when another CPU has taken the request away meanwhile.
    // The reset is sent all the same, and the packet is not discarded but looked at anew.
    let resets = read::field::<_, u8>(net, &NET_ABORT_ON_OVERFLOW) != 0;
    match (full, resets) {
        (true, true) => (Cause::AcceptQueueFullReset, 1),
        (true, false) => (Cause::AcceptQueueFullAck, 2),
        (false, true) => (Cause::NoChild, 1),
        (false, false) => (Cause::NoChild, 2),
    }
}

/// The kernel discards the packet and goes on waiting for another.
#[inline(always)]
fn ignored(sk: *const Sock) {
    if let Some(seen) = listener::find(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &mut *seen.totals };
        totals.beside[Beside::Ignored as usize] += 1;
        totals.sk_drops += 1;
    }
}

/// The client's initial sequence number.
#[inline(always)]
pub(crate) fn isn(req: *const Request) -> u32 {
    read::field(req, &TREQ_RCV_ISN)
}
