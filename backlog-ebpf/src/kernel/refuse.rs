//! A packet is refused at a listener. The cause is the kernel's own verdict:
//! see [`counters`].

use backlog_ebpf::{
    cause::{Beside, Cause},
    record::{Drop, Endpoint, Kind},
};

use super::{
    counters::{self, Counts, Site},
    filter,
    globals::{
        MIB_EMBRYONIC_RSTS, MIB_LISTEN_DROPS, MIB_LISTEN_OVERFLOWS, MIB_REQQ_FULL_DROP,
        MIB_SYNCOOKIES_SENT, TREQ_RCV_ISN,
    },
    listener, out, read,
    types::{Request, SkBuff, Sock},
};

/// Body: `tcp_conn_request(rsk_ops, af_ops, sk, skb)` is entered.
#[inline(always)]
pub(crate) fn syn_enter(sk: *const Sock) {
    if !filter::port(sk) {
        return;
    }
    counters::enter(Site::Syn, sk, |mib| Counts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        third: mib.get(&MIB_REQQ_FULL_DROP),
        fourth: mib.get(&MIB_SYNCOOKIES_SENT),
    });
}

/// Body: it returns.
#[inline(always)]
pub(crate) fn syn_exit(sk: *const Sock, skb: *const SkBuff) {
    let Some((before, mib)) = counters::leave(Site::Syn, sk) else {
        return;
    };
    let cookie = mib.get(&MIB_SYNCOOKIES_SENT) != before.fourth;
    let dropped = mib.get(&MIB_LISTEN_DROPS) != before.drops;
    if !(cookie || dropped) || !filter::family(read::packet_family(skb)) {
        return;
    }
    if cookie {
        if let Some(seen) = listener::of(sk) {
            // SAFETY: this CPU's element of the per-CPU array.
            unsafe { (*seen.totals).beside[Beside::SynCookieSent as usize] += 1 };
        }
    }
    if !dropped {
        return;
    }
    // The kernel tests the SYN queue before the accept queue, and stops at the first.
    let cause = if mib.get(&MIB_REQQ_FULL_DROP) != before.third {
        Cause::SynQueueFull
    } else if mib.get(&MIB_LISTEN_OVERFLOWS) != before.overflows {
        Cause::AcceptQueueFullSyn
    } else {
        Cause::Other
    };
    let (client, isn) = read::sender(skb);
    refused(sk, cause, client, isn);
}

/// Body: `tcp_check_req(sk, skb, req, fastopen, …)` is entered. With `fastopen`
/// the socket is a child, which has no queue.
#[inline(always)]
pub(crate) fn ack_enter(sk: *const Sock, fastopen: u64) {
    if fastopen & 0xff != 0 || !filter::port(sk) {
        return;
    }
    counters::enter(Site::Ack, sk, |mib| Counts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        third: mib.get(&MIB_EMBRYONIC_RSTS),
        fourth: 0,
    });
}

/// Body: it returns.
#[inline(always)]
pub(crate) fn ack_exit(sk: *const Sock, req: *const Request) {
    let Some((before, mib)) = counters::leave(Site::Ack, sk) else {
        return;
    };
    if mib.get(&MIB_LISTEN_DROPS) == before.drops || !filter::request(req) {
        return;
    }
    let cause = if mib.get(&MIB_LISTEN_OVERFLOWS) == before.overflows {
        Cause::NoChild
    } else if mib.get(&MIB_EMBRYONIC_RSTS) == before.third {
        Cause::AcceptQueueFullAck
    } else {
        Cause::AcceptQueueFullReset
    };
    refused(sk, cause, read::remote(req), isn(req));
}

/// Body: `tcp_get_cookie_sock(sk, skb, req, …)` is entered.
#[inline(always)]
pub(crate) fn cookie_enter(sk: *const Sock) {
    if !filter::port(sk) {
        return;
    }
    counters::enter(Site::Cookie, sk, |mib| Counts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        third: 0,
        fourth: 0,
    });
}

/// Body: it returns without a child. The request is freed by then, so the client
/// is read from the packet; its first sequence number is one behind the ACK's.
#[inline(always)]
pub(crate) fn cookie_exit(sk: *const Sock, skb: *const SkBuff) {
    let Some((before, mib)) = counters::leave(Site::Cookie, sk) else {
        return;
    };
    if mib.get(&MIB_LISTEN_DROPS) == before.drops || !filter::family(read::packet_family(skb)) {
        return;
    }
    let cause = if mib.get(&MIB_LISTEN_OVERFLOWS) == before.overflows {
        Cause::NoChild
    } else {
        Cause::AcceptQueueFullCookie
    };
    let (client, sequence) = read::sender(skb);
    refused(sk, cause, client, sequence.wrapping_sub(1));
}

#[inline(always)]
fn isn(req: *const Request) -> u32 {
    read::field(req, &TREQ_RCV_ISN)
}

#[inline(always)]
fn refused(sk: *const Sock, cause: Cause, client: Endpoint, isn: u32) {
    let now = listener::now();
    let Some(seen) = listener::of(sk) else { return };
    let syn_queue = listener::syn_queue(sk);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.drops[cause as usize] += 1;
    if syn_queue > totals.syn_queue_peak {
        totals.syn_queue_peak = syn_queue;
    }
    let record = Drop {
        header: out::header::<Drop>(Kind::Drop, seen.slot, now),
        cause: cause as u32,
        isn,
        depth: listener::depth(sk),
        limit: listener::limit(sk),
        syn_queue,
        client,
    };
    out::urgent(Kind::Drop, record, seen.totals);
}
