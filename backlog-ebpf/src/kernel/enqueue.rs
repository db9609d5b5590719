//! A connection enters the accept queue.
//!
//! It is announced before the kernel adds it and confirmed afterwards: a thread
//! that is already accepting may take it in between, on another CPU.

use backlog_ebpf::{cause::Beside, pending::Pending, totals::Totals};

use super::{
    filter,
    listener::{self, Seen},
    maps::EPOCH,
    pending,
    site::{self, Hint, Site},
    types::{Request, Sock},
};

/// Body: `inet_csk_complete_hashdance(sk, child, req, own_req)` is entered. `sk`
/// is the listener that gets the child, also after a migration.
#[inline(always)]
pub(crate) fn handshake_enter(sk: *const Sock, child: *const Sock, req: *const Request, own: u64) {
    if own & 0xff == 0 {
        site::hint(Hint::Stolen);
    } else if filter::port(sk) && filter::request(req) {
        announce(sk, child);
    }
}

/// Body: it returned `queued`, which is the child or null. The request may have
/// been freed by an accept by now; the child has not, this CPU has its lock.
#[inline(always)]
pub(crate) fn handshake_exit(sk: *const Sock, child: *const Sock, queued: u64) {
    if !filter::port(sk) || !filter::connection(child) {
        return;
    }
    if queued == 0 {
        pending::remove(child);
    } else {
        confirm(sk, child);
    }
}

/// Body: `inet_csk_reqsk_queue_add(sk, req, child)` is entered. Ordinary
/// handshakes come here on some builds and not on others, and have been
/// announced; cookies and Fast Open come here only.
#[inline(always)]
pub(crate) fn add_enter(sk: *const Sock, req: *const Request, child: *const Sock) {
    let of_these = site::inside(Site::Cookie, sk) || site::inside(Site::Syn, sk);
    if of_these && filter::request(req) {
        announce(sk, child);
    }
}

/// Body: it returned `queued`, which is the child or null. (An MPTCP join, which is
/// a child of a connection and not of the queue, never comes here.)
#[inline(always)]
pub(crate) fn add_exit(sk: *const Sock, child: *const Sock, queued: u64) {
    let cookie = site::inside(Site::Cookie, sk);
    if !(cookie || site::inside(Site::Syn, sk)) || !filter::connection(child) {
        return;
    }
    if queued == 0 {
        pending::remove(child);
    } else if let Some(seen) = confirm(sk, child)
        && cookie
    {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
}

/// Remembers a connection that is about to be queued.
#[inline(always)]
pub(crate) fn announce(sk: *const Sock, child: *const Sock) {
    let Some(seen) = listener::of(sk) else { return };
    // After the slot was given out, which a later look compares with.
    let now = listener::now();
    let announced = pending::put(
        child,
        Pending {
            enqueued_ns: now,
            listener: sk as u64,
            since_ns: now,
            slot: seen.slot,
            depth: 0,
            expected: listener::depth(sk) + 1,
            limit: listener::limit(sk),
            early_ns: 0,
        },
    );
    if !announced {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).untracked += 1 };
    }
}

/// Counts a connection that has been queued.
#[inline(always)]
pub(crate) fn confirm(sk: *const Sock, child: *const Sock) -> Option<Seen> {
    let now = listener::now();
    let seen = listener::of(sk)?;
    let depth = listener::depth(sk);
    let limit = listener::limit(sk);
    pending::confirm(child, depth);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.enqueued += 1;
    peak(totals, now, depth);
    level(totals, now, depth, limit);
    Some(seen)
}

/// Notes the depth of a queue right after an arrival.
#[inline(always)]
pub(crate) fn peak(totals: &mut Totals, now: u64, depth: u32) {
    if depth > totals.peak {
        totals.peak = depth;
        totals.peak_ns = now;
    }
    epoch_peak(totals, depth);
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
