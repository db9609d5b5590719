//! A connection enters the accept queue.

use backlog_ebpf::{cause::Beside, totals::Totals};

use super::{
    counters::{self, Site},
    filter,
    globals::TREQ_DROP_REQ,
    listener::{self, Seen},
    maps::EPOCH,
    pending::{self, Pending},
    read,
    types::{Request, Sock},
};
use backlog_ebpf::ABSENT;

/// Body: `inet_csk_complete_hashdance(sk, child, req, own_req)` returned `queued`.
/// `sk` is the listener that has it now, also after a migration.
#[inline(always)]
pub(crate) fn handshake(sk: *const Sock, child: *const Sock, req: *const Request, queued: u64) {
    if queued != 0 && filter::port(sk) && filter::request(req) {
        add(sk, child);
    }
}

/// Body: `tcp_get_cookie_sock(sk, skb, req, …)` returned `child`.
#[inline(always)]
pub(crate) fn cookie(sk: *const Sock, child: *const Sock, req: *const Request) {
    if child.is_null() || !filter::port(sk) || !filter::request(req) {
        return;
    }
    // An MPTCP join is a child of a connection, not of the queue. (The request
    // may have been freed by then; its memory is still a request's.)
    if TREQ_DROP_REQ.load() != ABSENT && read::field::<_, u8>(req, &TREQ_DROP_REQ) != 0 {
        return;
    }
    if let Some(seen) = add(sk, child) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
}

/// Body: `inet_csk_reqsk_queue_add(sk, req, child)` returned `queued`.
///
/// Handshakes and cookies come here as well, on some builds and not on others:
/// only a Fast Open child is added from within `tcp_conn_request`.
#[inline(always)]
pub(crate) fn fast_open(sk: *const Sock, req: *const Request, queued: *const Sock) {
    if !queued.is_null() && counters::inside(Site::Syn, sk) && filter::request(req) {
        add(sk, queued);
    }
}

#[inline(always)]
fn add(sk: *const Sock, child: *const Sock) -> Option<Seen> {
    let now = listener::now();
    let seen = listener::of(sk)?;
    let depth = listener::depth(sk);
    let limit = listener::limit(sk);
    let syn_queue = listener::syn_queue(sk);
    let tracked =
        pending::put(child, Pending { enqueued_ns: now, slot: seen.slot, depth, limit, pad: 0 });
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.enqueued += 1;
    if !tracked {
        totals.untracked += 1;
    }
    if depth > totals.peak {
        totals.peak = depth;
        totals.peak_ns = now;
    }
    if syn_queue > totals.syn_queue_peak {
        totals.syn_queue_peak = syn_queue;
    }
    epoch_peak(totals, depth);
    level(totals, now, depth, limit);
    Some(seen)
}

/// Notes the depth that a listener was left with.
#[inline(always)]
pub(crate) fn level(totals: &mut Totals, now: u64, depth: u32, limit: u32) {
    totals.last_ns = now;
    totals.last_depth = depth;
    totals.last_limit = limit;
}

#[inline(always)]
fn epoch_peak(totals: &mut Totals, depth: u32) {
    let Some(epoch) = EPOCH.get(0).copied() else {
        return;
    };
    let peak = &mut totals.epochs[(epoch & 1) as usize];
    if peak.epoch != epoch {
        peak.epoch = epoch;
        peak.depth = depth;
    } else if depth > peak.depth {
        peak.depth = depth;
    }
}
