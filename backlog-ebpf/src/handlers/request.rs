//! Requests that the kernel removes from the SYN queue without a connection: by their timer
//! (`reqsk_timer_handler`, which otherwise retransmits the SYN-ACK), or because of an ICMP error
//! (`tcp_req_err`).

use backlog_ebpf::cause::Beside;

use super::listener;
use crate::kernel::{
    globals::{
        ICSK_SYN_RETRIES, MIB_LISTEN_DROPS, NET_SYNACK_RETRIES, REQ_TIMEOUTS, REQ_TIMEOUTS_MASK,
        REQ_TIMEOUTS_ONE, REQ_TIMER, SKC_LISTENER, SKC_NET, SKC_STATE,
    },
    read, sock,
    types::{Net, Request, Sock, TCP_LISTEN, Timer},
};
use crate::state::{
    filter,
    maps::SCRATCH,
    mib_snapshot,
    scratch::{self, TracedFn},
    values::{EntryCounts, RequestTimer},
};

/// A smaller limit counts as this one when the kernel tests for a half-full SYN queue
/// (`reqsk_timer_handler`).
const LEAST_LIMIT: u32 = 8;

/// Hook: entry of `reqsk_timer_handler(timer)`.
#[inline(always)]
pub(crate) fn timer_enter(timer: *const Timer) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let req: *const Request = timer.wrapping_byte_sub(REQ_TIMER.load() as usize).cast();
    let sk: *const Sock = read::pointer(req, &SKC_LISTENER);
    // The requests of a closed listener die with it: the record of its close says how many there
    // were.
    let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
    let wanted = listens && filter::listener(sk) && filter::request(req);
    let timeouts = timeouts(req);
    let entered = RequestTimer {
        request: if wanted { req as u64 } else { 0 },
        listener: sk as u64,
        timeouts,
        prunes: u32::from(is_half_full(sk) && timeouts < retries(sk) * REQ_TIMEOUTS_ONE.load()),
    };
    // SAFETY: a per-CPU element; timers of requests run in softirq, which does not nest.
    unsafe { (*scratch).timer = entered };
}

/// Hook: exit. A request that lives on has one more timeout, a removed one has the same. (Its
/// memory is reused only for other requests, and is cleared first.)
#[inline(always)]
pub(crate) fn timer_exit(timer: *const Timer) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as above.
    let entered = unsafe { &mut (*scratch).timer };
    let req: *const Request = timer.wrapping_byte_sub(REQ_TIMER.load() as usize).cast();
    if entered.request != req as u64 {
        return;
    }
    entered.request = 0;
    let RequestTimer { listener, timeouts: before, prunes, .. } = *entered;
    if timeouts(req) == before + REQ_TIMEOUTS_ONE.load() {
        return;
    }
    if let Some(tracked) = listener::of(listener as *const Sock) {
        let beside = if prunes != 0 { Beside::Pruned } else { Beside::Expired };
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*tracked.totals).beside[beside as usize] += 1 };
    }
}

/// Hook: entry of `tcp_req_err(req, seq, abort)`.
#[inline(always)]
pub(crate) fn error_enter(req: *const Request) {
    let sk: *const Sock = read::pointer(req, &SKC_LISTENER);
    if filter::listener(sk) && filter::request(req) {
        scratch::enter(TracedFn::Error, sk, |mib| EntryCounts {
            drops: mib.get(&MIB_LISTEN_DROPS),
            ..EntryCounts::default()
        });
    }
}

/// Hook: exit. The kernel counts a removed request like a dropped SYN.
#[inline(always)]
pub(crate) fn error_exit(req: *const Request) {
    let sk: *const Sock = read::pointer(req, &SKC_LISTENER);
    let Some(left) = scratch::leave(TracedFn::Error, sk) else {
        return mib_snapshot::refresh_if_moved(read::pointer(sk, &SKC_NET));
    };
    if left.mib.get(&MIB_LISTEN_DROPS) == left.before.drops {
        return;
    }
    // The next snapshot must not include this move.
    mib_snapshot::refresh(left.mib.net() as u64);
    if let Some(tracked) = listener::of(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &mut *tracked.totals };
        totals.beside[Beside::Unreachable as usize] += 1;
        totals.sk_drops += 1;
    }
}

/// The number of unanswered SYN-ACKs, shifted as in the request's bit field.
#[inline(always)]
fn timeouts(req: *const Request) -> u32 {
    u32::from(read::field::<_, u8>(req, &REQ_TIMEOUTS)) & REQ_TIMEOUTS_MASK.load()
}

/// Whether the SYN queue is so full that old requests are removed early.
#[inline(always)]
fn is_half_full(sk: *const Sock) -> bool {
    let limit = sock::limit(sk);
    let limit = if limit < LEAST_LIMIT { LEAST_LIMIT } else { limit };
    sock::syn_queue(sk) << 1 > limit
}

/// How often the listener retransmits the SYN-ACK of a request.
#[inline(always)]
fn retries(sk: *const Sock) -> u32 {
    let own: u8 = read::field(sk, &ICSK_SYN_RETRIES);
    if own != 0 {
        return u32::from(own);
    }
    let net: *const Net = read::pointer(sk, &SKC_NET);
    u32::from(read::field::<_, u8>(net, &NET_SYNACK_RETRIES))
}
