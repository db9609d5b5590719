//! A connection leaves the accept queue: it is accepted, or its listener closes.

use backlog_ebpf::{
    ABSENT,
    cause::Beside,
    pending::{Pending, SEED_DONE},
    record::Leaving,
};

use super::{enqueue, listener, retry, tally};
use crate::kernel::{
    globals::{MPTCP_FIRST, REQ_SK, SK_SHUTDOWN, SKC_NUM, SKC_STATE},
    mptcp,
    pointers::KernelPtr,
    read, time,
    types::{IPPROTO_MPTCP, IPPROTO_TCP, Request, Sock, TCP_LISTEN},
};
use crate::state::{
    filter,
    histograms::AcceptedBy,
    maps::SEED,
    pending::{self, fast, overflow},
    scratch::{self, DropHint},
    slots::{self, Tracked},
    workers,
};

/// Hook: `security_sock_graft(newsk, newsock)`, which every accept calls under `sk_callback_lock`,
/// after a blocking one has slept.
///
/// Bottom halves are off there. That matters: if a process can be preempted inside a program, the
/// kernel skips the program for the next process on that CPU (7.3 lost 2 of 100 accepts by 8
/// threads in `__inet_accept`).
#[inline(always)]
pub(crate) fn on_graft(newsk: impl KernelPtr<Sock>) {
    let port: u16 = read::field(newsk, &SKC_NUM);
    // A connection that its client has reset meanwhile has lost its port.
    let wanted = (port == 0 || filter::port(port)) && filter::namespace(newsk);
    // Only TCP sockets are in the table, so an ordinary accept need not check the protocol.
    if wanted && count_if_in_table(newsk) {
        return;
    }
    if MPTCP_FIRST.load() != ABSENT && read::protocol(newsk) == IPPROTO_MPTCP {
        graft(mptcp::tcp_of(newsk.address()));
    } else if wanted {
        not_in_table(newsk, port);
    }
}

#[inline(always)]
fn graft(child: impl KernelPtr<Sock>) {
    let port: u16 = read::field(child, &SKC_NUM);
    // A connection that its client has reset meanwhile has lost its port.
    if (port != 0 && !filter::port(port)) || !filter::namespace(child) {
        return;
    }
    if !count_if_in_table(child) {
        not_in_table(child, port);
    }
}

/// Counts the accept of a connection that is in the table.
#[inline(always)]
fn count_if_in_table(child: impl KernelPtr<Sock>) -> bool {
    let Some(pending) = fast::take(child.address()) else { return false };
    let Pending { slot, enqueued_ns, refused_isn, .. } = pending;
    // All connections of a listener leave the table before its slot is reused.
    tally::count_accept(slot, enqueued_ns, 0, AcceptedBy::CurrentThread);
    let state = read::field(child, &SKC_STATE);
    tally::count_abandoned(slot, child.address(), enqueued_ns, state);
    if refused_isn != 0 {
        retry::on_accept(slot, child.address(), refused_isn, state);
    }
    true
}

/// Handles the accept of a connection that is not in the table: it may be in the overflow map, or
/// its enqueue may not be recorded yet.
#[inline(always)]
fn not_in_table(child: impl KernelPtr<Sock>, port: u16) {
    if overflow::in_use()
        && let Some(pending) = overflow::take(child.address())
    {
        let state = read::field(child, &SKC_STATE);
        return tally::count_tracked_accept(
            pending,
            child.address(),
            state,
            AcceptedBy::CurrentThread,
        );
    }
    if read::protocol(child) == IPPROTO_TCP
        && filter::connection(child)
        && filter::may_be_ours(child, port)
        && fast::accept_before_enqueue(child.address(), port == 0, time::now())
    {
        tally::count_unattributed_accept();
    }
}

/// Whether the startup scan of the queues is complete. After it, an unknown connection is one that
/// arrived later, and whose enqueue no program saw.
#[inline(always)]
fn is_seeded() -> bool {
    SEED.get(0).is_some_and(|seed| *seed == SEED_DONE)
}

/// Counts the accept of an unknown connection whose listener cannot be found.
#[inline(always)]
fn count_untracked(child: *const Sock) {
    if is_seeded()
        && read::protocol(child) == IPPROTO_TCP
        && filter::port_and_namespace(child)
        && filter::connection(child)
    {
        tally::count_unattributed_accept();
    }
}

/// Counts the accept of a known connection, if it has not been counted yet.
#[inline(always)]
pub(crate) fn count_if_tracked(child: *const Sock, by: AcceptedBy) -> bool {
    let taken = pending::take(child);
    if let Some(pending) = taken {
        tally::count_tracked_accept(pending, child, read::field(child, &SKC_STATE), by);
    }
    taken.is_some()
}

/// Hook: accept() returns a connection of the listener `from`, which is null if it cannot
/// be found.
#[inline(always)]
pub(crate) fn on_accept(child: *const Sock, from: impl FnOnce() -> *const Sock) {
    if count_if_tracked(child, AcceptedBy::CurrentThread) {
        return;
    }
    let sk = from();
    if sk.is_null() {
        return count_untracked(child);
    }
    // Another thread may have closed the descriptor and reused it, so the ports must match; a
    // connection that was reset has lost its port.
    let port: u16 = read::field(child, &SKC_NUM);
    let of_it = port == 0 || port == read::field(sk, &SKC_NUM);
    if !of_it || !filter::listener(sk) || !filter::connection(child) {
        return;
    }
    let Some(tracked) = listener::of(sk) else { return tally::count_unattributed_accept() };
    if is_seeded() {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*tracked.totals).enqueue_missed += 1 };
        workers::record_accept(tracked.slot);
    } else {
        tally::count_accept(tracked.slot, 0, 0, AcceptedBy::CurrentThread);
    }
}

/// Hook: a connection's socket is destroyed.
#[inline(always)]
pub(crate) fn on_destroy(sk: *const Sock) {
    let Some(pending) = pending::take(sk) else { return };
    let of = pending.listener as *const Sock;
    // Announced and never confirmed: it was not queued, or it was accepted first (`early_ns`) and
    // the program that confirms the enqueue was missed.
    if pending.enqueued_ns != 0 && pending.depth == 0 {
        if pending.early_ns != 0 && enqueue::confirm(of, sk).is_some() {
            tally::count_tracked_accept(pending, sk, 0, AcceptedBy::Unknown);
        }
        return;
    }
    let Some(tracked) = slots::tracked(pending.slot) else { return };
    // close() shuts both directions down. A listener that drops its queue disconnects each
    // connection, which clears that again (`tcp_close`, `inet_child_forget`, 5.10 to 7.3).
    let closed = read::field::<_, u8>(sk, &SK_SHUTDOWN) != 0;
    if closed || read::field::<_, u8>(of, &SKC_STATE) == TCP_LISTEN {
        // It was accepted, and no program saw its enqueue.
        let totals = tracked.totals;
        // SAFETY: this CPU's element of the per-CPU array. Its wait is unknown.
        unsafe {
            if pending.enqueued_ns == 0 {
                (*totals).accepts_without_wait += 1;
            } else {
                (*totals).accepted += 1;
            }
        }
        if pending.refused_isn != 0 {
            retry::on_dequeue(tracked, sk, pending.refused_isn, Leaving::Unseen);
        }
    } else {
        count_killed(tracked, sk, pending.refused_isn);
    }
}

/// Hook: `inet_child_forget(sk, req, child)`: a queued connection is killed with its listener, or
/// one that was about to be queued is not. (When the kernel queues a child, it stores it in the
/// request.)
#[inline(always)]
pub(crate) fn on_forget(sk: *const Sock, req: *const Request, child: *const Sock) {
    if read::field::<_, u64>(req, &REQ_SK) != child as u64 {
        return scratch::set_hint(DropHint::NotQueued);
    }
    let (tracked, refused_isn) = match pending::take(child) {
        // After a failed migration, `sk` is the previous listener.
        Some(pending) => (slots::tracked(pending.slot), pending.refused_isn),
        // Queued before the start and missed by the iterator.
        None if filter::connection(child) => (slots::known(sk), 0),
        None => (None, 0),
    };
    if let Some(tracked) = tracked {
        count_killed(tracked, child, refused_isn);
    }
}

/// Counts a queued connection that is killed with its listener.
#[inline(always)]
fn count_killed(tracked: Tracked, child: *const Sock, refused_isn: u32) {
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*tracked.totals).beside[Beside::KilledAtClose as usize] += 1 };
    if refused_isn != 0 {
        retry::on_dequeue(tracked, child, refused_isn, Leaving::Killed);
    }
}
