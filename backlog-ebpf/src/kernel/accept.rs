//! A connection leaves the accept queue: through accept, or because its
//! listener closed.

use backlog_ebpf::{
    ABSENT,
    cause::Beside,
    pending::{Pending, SEED_DONE},
    record::Leaving,
    totals::IMPATIENT_NS,
};

use super::{
    attempt,
    distribution::{self, By},
    enqueue::{confirm, epoch},
    filter,
    globals::{MPTCP_FIRST, REQ_SK, SK_SHUTDOWN, SKC_NUM, SKC_STATE, TP_MSTAMP},
    listener::{self, Seen},
    maps::{SEED, STRAY},
    pending,
    place::Place,
    read,
    site::{self, Hint},
    types::{IPPROTO_MPTCP, IPPROTO_TCP, Request, Sock, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LISTEN},
    waiting, workers,
};

/// Body: `security_sock_graft(newsk, newsock)`, which every accept calls under
/// `sk_callback_lock`, after the sleep of a blocking one.
///
/// Bottom halves are off there. That matters: a program that a process can be
/// preempted in is skipped for the next process on that CPU (7.3 lost 2 of 100
/// accepts by 8 threads in `__inet_accept`).
#[inline(always)]
pub(crate) fn grafted(newsk: impl Place<Sock>) {
    if MPTCP_FIRST.load() != ABSENT && read::protocol(newsk) == IPPROTO_MPTCP {
        graft(tcp_of(newsk.address()));
    } else {
        graft(newsk);
    }
}

#[inline(always)]
fn graft(child: impl Place<Sock>) {
    let port: u16 = read::field(child, &SKC_NUM);
    // A client that has reset its connection meanwhile has taken its port away.
    if (port != 0 && !filter::number(port)) || !filter::namespace(child) {
        return;
    }
    if let Some(pending) = waiting::take(child.address()) {
        let Pending { slot, enqueued_ns, early_ns, refused_isn, .. } = pending;
        // What a listener has in the table leaves it before the slot is another's.
        if let Some(seen) = listener::seen(slot) {
            count_accept(seen, enqueued_ns, early_ns, By::Current);
            let state = read::field(child, &SKC_STATE);
            left(seen, child.address(), enqueued_ns, state);
            if refused_isn != 0 {
                attempt::accepted(seen, child.address(), refused_isn, state);
            }
        }
        return;
    }
    if waiting::crowded()
        && let Some(pending) = pending::take_of_map(child.address())
    {
        let state = read::field(child, &SKC_STATE);
        return queued(pending, child.address(), state, By::Current);
    }
    if read::protocol(child) == IPPROTO_TCP
        && filter::connection(child)
        && filter::may_be_ours(child, port)
        && pending::early_accept(child.address(), port == 0, listener::now())
    {
        stray_accept();
    }
}

/// Has what was queued before the start been looked up? Then a connection that is not known
/// has come since, and no program has seen it.
#[inline(always)]
fn looked_up() -> bool {
    SEED.get(0).is_some_and(|seed| *seed == SEED_DONE)
}

/// An accept of a connection that is not known, and the listener cannot be told.
#[inline(always)]
fn unknown(child: *const Sock) {
    if looked_up()
        && read::protocol(child) == IPPROTO_TCP
        && filter::place(child)
        && filter::connection(child)
    {
        stray_accept();
    }
}

/// Counts the accept of a connection that is known, if nobody else has.
#[inline(always)]
pub(crate) fn known(child: *const Sock, by: By) -> bool {
    let taken = pending::take(child);
    if let Some(pending) = taken {
        queued(pending, child, read::field(child, &SKC_STATE), by);
    }
    taken.is_some()
}

/// Body: accept() returns a connection of the listener `from`, which is null if it cannot
/// be told.
#[inline(always)]
pub(crate) fn taken(child: *const Sock, from: impl FnOnce() -> *const Sock) {
    if known(child, By::Current) {
        return;
    }
    let sk = from();
    if sk.is_null() {
        return unknown(child);
    }
    // Another thread may have closed the descriptor and used it again; a connection that was
    // reset has lost its port.
    let port: u16 = read::field(child, &SKC_NUM);
    let of_it = port == 0 || port == read::field(sk, &SKC_NUM);
    if !of_it || !filter::listener(sk) || !filter::connection(child) {
        return;
    }
    let Some(seen) = listener::of(sk) else { return stray_accept() };
    if looked_up() {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).unseen += 1 };
        workers::accepted(seen.slot);
    } else {
        count_accept(seen, 0, 0, By::Current);
    }
}

/// Counts an accept. A connection that was queued before the start was looked up then,
/// without its time.
#[inline(always)]
fn count_accept(seen: Seen, enqueued_ns: u64, early_ns: u64, by: By) {
    let now = if early_ns == 0 { listener::now() } else { early_ns };
    if matches!(by, By::Current) {
        workers::accepted(seen.slot);
    }
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    if enqueued_ns == 0 {
        totals.untimed += 1;
        totals.untimed_ns = now;
        return;
    }
    totals.accepted += 1;
    // The clocks of two CPUs may differ by some nanoseconds.
    let wait_ns = if now > enqueued_ns { now - enqueued_ns } else { 0 };
    if wait_ns > totals.longest_ns {
        totals.longest_ns = wait_ns;
    }
    let epoch = epoch(totals);
    if wait_ns > epoch.longest_ns {
        epoch.longest_ns = wait_ns;
    }
    distribution::waited(seen.slot, wait_ns, now, by);
}

/// Body: a connection's socket is destroyed.
#[inline(always)]
pub(crate) fn gone(sk: *const Sock) {
    let Some(pending) = pending::take(sk) else { return };
    let of = pending.listener as *const Sock;
    // Announced, and then not queued; or accepted before that was known, and what would
    // have told it was not seen.
    if pending.enqueued_ns != 0 && pending.depth == 0 {
        if pending.early_ns != 0 && confirm(of, sk).is_some() {
            queued(pending, sk, 0, By::Other);
        }
        return;
    }
    let Some(seen) = listener::seen(pending.slot) else { return };
    // close() shuts both ways down; who drops a queue disconnects, which opens them again
    // (`tcp_close`, `inet_child_forget`, 5.10 to 7.3).
    let closed = read::field::<_, u8>(sk, &SK_SHUTDOWN) != 0;
    if closed || read::field::<_, u8>(of, &SKC_STATE) == TCP_LISTEN {
        // Somebody had accepted it, unseen.
        let totals = seen.totals;
        // SAFETY: this CPU's element of the per-CPU array. How long it waited is not known.
        unsafe {
            if pending.enqueued_ns == 0 {
                (*totals).untimed += 1;
            } else {
                (*totals).accepted += 1;
            }
        }
        if pending.refused_isn != 0 {
            attempt::left_queue(seen, sk, pending.refused_isn, Leaving::Unseen);
        }
    } else {
        killed(seen, sk, pending.refused_isn);
    }
}

/// Counts a connection that its client has left by the time it is accepted, in this state.
///
/// `tcp_mstamp` says when it left: the kernel sets it to the time of each packet of a
/// connection (`tcp_rcv_established`, `tcp_rcv_state_process`, 5.10 to 7.3), and nothing comes
/// after a FIN or a reset that nobody answers yet. An acknowledgement that the kernel delays
/// sets it as well, by 200 ms at most.
#[inline(always)]
fn left(seen: Seen, child: *const Sock, enqueued_ns: u64, state: u8) {
    let beside = match state {
        TCP_CLOSE => Beside::AbandonedReset,
        TCP_CLOSE_WAIT => Beside::AbandonedFin,
        _ => return,
    };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.beside[beside as usize] += 1;
    let left_ns = read::field::<_, u64>(child, &TP_MSTAMP) * 1000;
    if enqueued_ns == 0 || left_ns < enqueued_ns + IMPATIENT_NS {
        return;
    }
    totals.left_waiting += 1;
    let after_ns = left_ns - enqueued_ns;
    if totals.left_after_ns == 0 || after_ns < totals.left_after_ns {
        totals.left_after_ns = after_ns;
    }
}

/// An accept of a connection that was seen being queued, and is in this state (zero: it was
/// accepted before that was seen).
#[inline(always)]
pub(crate) fn queued(pending: Pending, child: *const Sock, state: u8, by: By) {
    // Where migrations are not seen, a connection outlives its first listener, whose
    // slot may have been given to another.
    if !listener::had_slot(pending.slot, pending.since_ns) {
        stray_accept();
    } else if let Some(seen) = listener::seen(pending.slot) {
        count_accept(seen, pending.enqueued_ns, pending.early_ns, by);
        left(seen, child, pending.enqueued_ns, state);
        if pending.refused_isn != 0 {
            attempt::accepted(seen, child, pending.refused_isn, state);
        }
    }
}

#[inline(always)]
fn stray_accept() {
    // It may be one of a listener that is left out, which a connection does not tell.
    if filter::by_owner() {
        return;
    }
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).accepts += 1 };
    }
}

/// Body: `inet_child_forget(sk, req, child)`: a queued connection dies with its
/// listener, or one that was about to be added is not. (The kernel notes the child in its
/// request when it adds it.)
#[inline(always)]
pub(crate) fn forgotten(sk: *const Sock, req: *const Request, child: *const Sock) {
    if read::field::<_, u64>(req, &REQ_SK) != child as u64 {
        return site::tell(Hint::NotQueued);
    }
    let (seen, refused_isn) = match pending::take(child) {
        // After a migration that failed, `sk` is the listener before.
        Some(pending) => (listener::seen(pending.slot), pending.refused_isn),
        // Queued before the start, and not found by the look.
        None if filter::connection(child) => (listener::closing(sk), 0),
        None => (None, 0),
    };
    if let Some(seen) = seen {
        killed(seen, child, refused_isn);
    }
}

/// Counts a queued connection that dies with its listener.
#[inline(always)]
fn killed(seen: Seen, child: *const Sock, refused_isn: u32) {
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*seen.totals).beside[Beside::KilledAtClose as usize] += 1 };
    if refused_isn != 0 {
        attempt::left_queue(seen, child, refused_isn, Leaving::Killed);
    }
}

/// The TCP socket that has the queue: under an MPTCP socket it is the first subflow.
#[inline(always)]
pub(crate) fn tcp_of(sk: *const Sock) -> *const Sock {
    if MPTCP_FIRST.load() == ABSENT || sk.is_null() || read::protocol(sk) != IPPROTO_MPTCP {
        return sk;
    }
    read::pointer(sk, &MPTCP_FIRST)
}
