//! A connection enters the accept queue.
//!
//! Hooks on functions see the connection right after the kernel has queued it ([`on_enqueue`]).
//! Tracepoints see its creation and its change to ESTABLISHED: it is announced before the kernel
//! queues it and confirmed afterwards. Either way, a thread on another CPU may accept it before it
//! is recorded.

use backlog_ebpf::{cause::Beside, pending::Pending};

use super::{listener, retry, tally};
use crate::kernel::{globals::TP_FASTOPEN_RSK, pointers::KernelPtr, read, sock, time, types::Sock};
use crate::state::{
    filter,
    histograms::{self, AcceptedBy},
    pending::{self, InsertOutcome, overflow},
    scratch::{self, TracedFn},
    slots::{self, Tracked},
};

/// Records a connection that this CPU has just queued. It may have been accepted by now.
#[inline(always)]
pub(crate) fn on_enqueue(slot: u32, sk: impl KernelPtr<Sock>, child: impl KernelPtr<Sock>) {
    let now = time::now();
    let depth = sock::depth(sk);
    let Some(distributions) = histograms::at(slot) else { return };
    tally::peak(slot, distributions, depth);
    // Zero: it was accepted before the depth was read, and was alone in the queue.
    let depth = if depth == 0 { 1 } else { depth };
    let refused_isn = if histograms::record_arrival(distributions, depth, now)
        && let Some(tracked) = slots::tracked(slot)
    {
        retry::on_readmitted(tracked, child.address(), depth, now)
    } else {
        0
    };
    let mut pending = Pending {
        enqueued_ns: now,
        listener: sk.address() as u64,
        since_ns: now,
        slot,
        depth,
        expected: depth,
        refused_isn,
        early_ns: 0,
    };
    match pending::insert(child.address(), pending) {
        InsertOutcome::Kept => {}
        InsertOutcome::AcceptedBefore(early_ns) => {
            // The clock is read after the enqueue, so it may be later than the accept.
            pending.enqueued_ns = if early_ns < now { early_ns } else { now };
            pending.early_ns = early_ns;
            tally::count_tracked_accept(pending, child.address(), 0, AcceptedBy::Unknown);
        }
        InsertOutcome::Full => count_overflow(slot),
    }
}

/// Hook: `inet_csk_reqsk_queue_add(sk, req, child)` returned `queued`, which is the child or null.
/// In some builds ordinary handshakes call it too. `ack` counts those, so only cookies and Fast
/// Open are counted here. (An MPTCP join is a child of a connection and never enters the queue.)
#[inline(always)]
pub(crate) fn on_queue_add<C: KernelPtr<Sock>>(sk: impl KernelPtr<Sock>, child: C, queued: u64) {
    if queued == 0 || !filter::listener(sk) || !filter::connection(child) {
        return;
    }
    let cookie = scratch::inside(TracedFn::Cookie, sk.address());
    if !cookie && !is_fastopen(child) {
        return;
    }
    let Some(tracked) = listener::of(sk.address()) else { return };
    on_enqueue(tracked.slot, sk, child);
    if cookie {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*tracked.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
}

/// Whether the child was queued before the end of its handshake.
#[inline(always)]
fn is_fastopen(child: impl KernelPtr<Sock>) -> bool {
    child.as_tcp_sock().is_some_and(|whole| read::field::<_, u64>(whole, &TP_FASTOPEN_RSK) != 0)
}

/// Records that a connection is about to be queued.
#[inline(always)]
pub(crate) fn announce(sk: *const Sock, child: *const Sock) {
    let Some(tracked) = listener::of(sk) else { return };
    // Read the clock after the slot was assigned: `slots::had_slot` compares the two times.
    let now = time::now();
    let announced = overflow::insert(
        child,
        Pending {
            enqueued_ns: now,
            listener: sk as u64,
            since_ns: now,
            slot: tracked.slot,
            depth: 0,
            expected: sock::depth(sk) + 1,
            refused_isn: 0,
            early_ns: 0,
        },
    );
    if !announced {
        count_overflow(tracked.slot);
    }
}

/// Counts a connection that found the table of queued connections full.
#[inline(always)]
fn count_overflow(slot: u32) {
    if let Some(Tracked { totals, .. }) = slots::tracked(slot) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*totals).pending_overflow += 1 };
    }
}

/// Records that an announced connection has been queued.
#[inline(always)]
pub(crate) fn confirm(sk: *const Sock, child: *const Sock) -> Option<Tracked> {
    let tracked = listener::of(sk)?;
    let depth = sock::depth(sk);
    let (depth_made, now) = (overflow::confirm(child, depth), time::now());
    let distributions = histograms::at(tracked.slot)?;
    tally::peak(tracked.slot, distributions, depth);
    if histograms::record_arrival(distributions, depth_made, now) {
        overflow::set_refused(child, retry::on_readmitted(tracked, child, depth_made, now));
    }
    Some(tracked)
}
