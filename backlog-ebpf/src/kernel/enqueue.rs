//! A connection enters the accept queue.
//!
//! Hooks on functions see it right after the kernel has added it ([`added`]). Tracepoints
//! see it being made and being established: it is announced before the kernel adds it and
//! confirmed afterwards. Either way a thread that is already accepting may take it in
//! between, on another CPU.

use backlog_ebpf::{
    cause::Beside,
    pending::Pending,
    totals::{Epoch, Totals},
};

use super::{
    accept, attempt,
    distribution::{self, By},
    filter,
    globals::TP_FASTOPEN_RSK,
    listener::{self, Seen},
    pending::{self, Added},
    place::Place,
    read,
    shared::EPOCH,
    site::{self, Site},
    types::Sock,
};

/// Counts a connection that has been queued a moment ago, on this CPU. It may have been
/// accepted by now.
#[inline(always)]
pub(crate) fn added(seen: Seen, sk: impl Place<Sock>, child: impl Place<Sock>) {
    let now = listener::now();
    let depth = listener::depth(sk);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.enqueued += 1;
    peak(totals, seen.slot, depth);
    // If it was taken before the note, it was the only one.
    let depth = if depth == 0 { 1 } else { depth };
    let refused_isn = if distribution::arrived(seen.slot, depth, now) {
        attempt::queued(seen, child.address(), depth, now)
    } else {
        0
    };
    let mut pending = Pending {
        enqueued_ns: now,
        listener: sk.address() as u64,
        since_ns: now,
        slot: seen.slot,
        depth,
        expected: depth,
        refused_isn,
        early_ns: 0,
    };
    match pending::added(child.address(), pending) {
        Added::Kept => {}
        Added::Early(early_ns) => {
            // The clock of its enqueue is read a moment after that.
            pending.enqueued_ns = if early_ns < now { early_ns } else { now };
            pending.early_ns = early_ns;
            accept::queued(pending, child.address(), 0, By::Other);
        }
        Added::Full => totals.untracked += 1,
    }
}

/// Body: `inet_csk_reqsk_queue_add(sk, req, child)` returned `queued`, which is the child
/// or null. Some builds come by here with ordinary handshakes as well, which `ack` counts;
/// cookies and Fast Open come here only. (An MPTCP join, which is a child of a connection
/// and not of the queue, never does.)
#[inline(always)]
pub(crate) fn special<C: Place<Sock>>(sk: impl Place<Sock>, child: C, queued: u64) {
    if queued == 0 || !filter::listener(sk) || !filter::connection(child) {
        return;
    }
    let cookie = site::inside(Site::Cookie, sk.address());
    if !cookie && !is_fastopen(child) {
        return;
    }
    let Some(seen) = listener::of(sk.address()) else { return };
    added(seen, sk, child);
    if cookie {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
}

/// Is a child queued before the end of its handshake?
#[inline(always)]
fn is_fastopen(child: impl Place<Sock>) -> bool {
    child.whole().is_some_and(|whole| read::field::<_, u64>(whole, &TP_FASTOPEN_RSK) != 0)
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
            refused_isn: 0,
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
    let seen = listener::of(sk)?;
    let depth = listener::depth(sk);
    let (depth_made, now) = (pending::confirm(child, depth), listener::now());
    if distribution::arrived(seen.slot, depth_made, now) {
        pending::had_been_refused(child, attempt::queued(seen, child, depth_made, now));
    }
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.enqueued += 1;
    peak(totals, seen.slot, depth);
    Some(seen)
}

/// Notes the depth of a queue right after an arrival.
#[inline(always)]
pub(crate) fn peak(totals: &mut Totals, slot: u32, depth: u32) {
    if depth > totals.peak {
        totals.peak = depth;
        totals.peak_ns = listener::now();
        totals.peak_filled_ns = distribution::filled_ns(slot);
    }
    let epoch = epoch(totals);
    if depth > epoch.depth {
        epoch.depth = depth;
    }
}

/// The peaks of the running epoch.
#[inline(always)]
pub(crate) fn epoch(totals: &mut Totals) -> &mut Epoch {
    let now = EPOCH.get();
    let epoch = &mut totals.epochs[(now & 1) as usize];
    if epoch.epoch != now {
        *epoch = Epoch { epoch: now, depth: 0, longest_ns: 0 };
    }
    epoch
}
