//! The last ACK of a handshake: `tcp_check_req`.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    filter,
    globals::{
        MIB_EMBRYONIC_RSTS, MIB_LISTEN_DROPS, MIB_LISTEN_OVERFLOWS, NET_ABORT_ON_OVERFLOW, SKC_NET,
        TREQ_RCV_ISN,
    },
    listener, read,
    refuse::{Refusal, refused},
    site::{self, Counts, Hint, Left, Site},
    types::{Net, Request, Sock},
};

/// Body: `tcp_check_req(sk, skb, req, fastopen, …)` is entered. With `fastopen`
/// the socket is a child, which has no queue.
#[inline(always)]
pub(crate) fn enter(sk: *const Sock, fastopen: u64) {
    if fastopen & 0xff != 0 || !filter::port(sk) {
        return;
    }
    site::enter(Site::Ack, sk, |mib| Counts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        resets: mib.get(&MIB_EMBRYONIC_RSTS),
        ..Counts::default()
    });
}

/// Body: it returned `child`, which is null when nothing came of the packet.
#[inline(always)]
pub(crate) fn exit(sk: *const Sock, req: *const Request, child: u64) {
    let Some(left) = site::leave(Site::Ack, sk) else {
        return;
    };
    if child != 0 || left.hinted(Hint::NotQueued) || !filter::request(req) {
        return;
    }
    if left.mib.get(&MIB_LISTEN_DROPS) == left.before.drops {
        // (That another CPU was first, the kernel tells by an argument, which 5.10 lets no
        // program read: a pointer to a bool.)
        if !left.hinted(Hint::Stolen) {
            ignored(sk);
        }
        return;
    }
    if let Some(seen) = listener::of(sk) {
        let (cause, sk_drops) = verdict(sk, &left);
        let client = read::remote(req);
        let refusal = Refusal { cause, client, isn: isn(req), sk_drops, counted: true };
        refused(sk, seen, refusal);
    }
}

/// Why, and how far the packet moves `sk_drops`.
#[inline(always)]
fn verdict(sk: *const Sock, left: &Left) -> (Cause, u64) {
    let full = left.mib.get(&MIB_LISTEN_OVERFLOWS) != left.before.overflows;
    if left.mib.get(&MIB_EMBRYONIC_RSTS) != left.before.resets {
        return (if full { Cause::AcceptQueueFullReset } else { Cause::NoChild }, 2);
    }
    // The counter does not move when another CPU has taken the request away meanwhile.
    // The reset is sent all the same, and the packet is not discarded but looked at anew.
    let net: *const Net = read::pointer(sk, &SKC_NET);
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
