//! A connection leaves the accept queue: through accept, or because its
//! listener closed.

use backlog_ebpf::{
    ABSENT,
    cause::Beside,
    pending::{Pending, SEED_DONE},
    record::{Connection, Kind},
    totals::Totals,
};

use super::{
    enqueue::confirm,
    filter,
    globals::{MPTCP_FIRST, REQ_SK, SK_SHUTDOWN, SKC_NUM, SKC_STATE},
    listener::{self, Seen},
    maps::{SEED, STRAY},
    out, pending,
    place::Place,
    read,
    site::{self, Hint},
    types::{IPPROTO_MPTCP, IPPROTO_TCP, Request, Sock, TCP_LISTEN},
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

/// No look at its port: a client that has reset its connection meanwhile has taken that
/// away. What is pending has passed the filter.
#[inline(always)]
fn graft(child: impl Place<Sock>) {
    if let Some(pending) = pending::take(child.address()) {
        return queued(child, pending);
    }
    let port: u16 = read::field(child, &SKC_NUM);
    let wanted = (port == 0 || filter::number(port)) && filter::connection(child);
    if read::protocol(child) == IPPROTO_TCP
        && wanted
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
        && filter::port(child)
        && filter::connection(child)
    {
        stray_accept();
    }
}

/// Counts the accept of a connection that is known, if nobody else has.
#[inline(always)]
pub(crate) fn known(child: *const Sock) -> bool {
    let taken = pending::take(child);
    if let Some(pending) = taken {
        queued(child, pending);
    }
    taken.is_some()
}

/// Body: accept() returns a connection of the listener `from`, which is null if it cannot
/// be told.
#[inline(always)]
pub(crate) fn taken(child: *const Sock, from: impl FnOnce() -> *const Sock) {
    if known(child) {
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
    if !of_it || !filter::port(sk) || !filter::connection(child) {
        return;
    }
    let Some(seen) = listener::of(sk) else { return stray_accept() };
    if looked_up() {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*seen.totals).unseen += 1 };
    } else {
        // SAFETY: as above.
        unsafe { (*seen.totals).untimed += 1 };
        leave(Kind::Accepted, seen, sk, child, None);
    }
}

/// Counts an accept. A connection that was queued before the start was looked up then,
/// without its time.
#[inline(always)]
fn count_accept(totals: &mut Totals, pending: &Pending) {
    if pending.enqueued_ns == 0 {
        totals.untimed += 1;
    } else {
        totals.accepted += 1;
    }
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
            queued(sk, pending);
        }
        return;
    }
    let Some(seen) = listener::seen(pending.slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    // close() shuts both ways down; who drops a queue disconnects, which opens them again
    // (`tcp_close`, `inet_child_forget`, 5.10 to 7.3).
    let closed = read::field::<_, u8>(sk, &SK_SHUTDOWN) != 0;
    if closed || read::field::<_, u8>(of, &SKC_STATE) == TCP_LISTEN {
        // Somebody had accepted it, unseen.
        count_accept(totals, &pending);
    } else {
        totals.beside[Beside::KilledAtClose as usize] += 1;
        leave(Kind::Killed, seen, of, sk, Some(pending));
    }
}

/// An accept of a connection that was seen being queued.
#[inline(always)]
pub(crate) fn queued(child: impl Place<Sock>, pending: Pending) {
    // Where migrations are not seen, a connection outlives its first listener, whose
    // slot may have been given to another.
    if !listener::had_slot(pending.slot, pending.since_ns) {
        stray_accept();
    } else if let Some(seen) = listener::seen(pending.slot) {
        // SAFETY: this CPU's element of the per-CPU array.
        count_accept(unsafe { &mut *seen.totals }, &pending);
        leave(Kind::Accepted, seen, pending.listener as *const Sock, child, Some(pending));
    }
}

#[inline(always)]
fn stray_accept() {
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
    let pending = pending::take(child);
    let seen = match &pending {
        Some(pending) => listener::seen(pending.slot),
        // Queued before the start, and not found by the look.
        None if filter::connection(child) => listener::closing(sk),
        None => None,
    };
    let Some(seen) = seen else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*seen.totals).beside[Beside::KilledAtClose as usize] += 1 };
    // After a migration that failed, `sk` is the listener before.
    let of = pending.map_or(sk, |pending| pending.listener as *const Sock);
    leave(Kind::Killed, seen, of, child, pending);
}

/// The TCP socket that has the queue: under an MPTCP socket it is the first subflow.
#[inline(always)]
pub(crate) fn tcp_of(sk: *const Sock) -> *const Sock {
    if MPTCP_FIRST.load() == ABSENT || sk.is_null() || read::protocol(sk) != IPPROTO_MPTCP {
        return sk;
    }
    read::pointer(sk, &MPTCP_FIRST)
}

#[inline(always)]
fn leave(
    kind: Kind,
    seen: Seen,
    listener: *const Sock,
    child: impl Place<Sock>,
    pending: Option<Pending>,
) {
    let mut now = listener::now();
    let left = listener::depth(listener);
    let (mut enqueued_ns, mut depth, mut limit) = (0, 0, 0);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    (totals.left_ns, totals.left_depth) = (now, left);
    if let Some(pending) = pending
        && pending.enqueued_ns != 0
    {
        enqueued_ns = pending.enqueued_ns;
        depth = pending.met();
        limit = pending.limit;
        if pending.early_ns != 0 {
            now = pending.early_ns;
        }
    }
    let record = Connection {
        header: out::header::<Connection>(kind, seen.slot, now),
        enqueued_ns,
        depth,
        limit,
        left,
        client: read::remote(child),
    };
    out::batched(kind, record, seen.totals);
}
