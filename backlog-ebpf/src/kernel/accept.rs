//! A connection leaves the accept queue: through accept, or because its
//! listener closed.

use backlog_ebpf::{
    ABSENT,
    cause::Beside,
    record::{Connection, Kind},
};

use super::{
    enqueue::level,
    filter,
    globals::{MPTCP_FIRST, SOCKET_SK},
    listener::{self, Seen},
    maps::STRAY,
    out,
    pending::{self, Pending},
    read,
    types::{IPPROTO_MPTCP, Sock, Socket},
};

/// Body: `security_sock_graft(newsk, newsock)`, which every accept calls under
/// `sk_callback_lock`, after the sleep of a blocking one.
///
/// Bottom halves are off there. That matters: a program that a process can be
/// preempted in is skipped for the next process on that CPU (7.3 lost 2 of 100
/// accepts by 8 threads in `__inet_accept`).
#[inline(always)]
pub(crate) fn grafted(newsk: *const Sock) {
    let child = tcp_of(newsk);
    if child.is_null() || !filter::port(child) {
        return;
    }
    let Some(pending) = pending::take(child) else { return };
    if let Some(seen) = listener::seen(pending.slot) {
        leave(Kind::Accepted, seen, child, Some(pending));
    }
}

/// Body: `__inet_accept(sock, newsock, newsk)` is entered, which grafts later.
#[inline(always)]
pub(crate) fn before_graft(sock: *const Socket, newsk: *const Sock) {
    not_pending(tcp_of(read::pointer(sock, &SOCKET_SK)), tcp_of(newsk));
}

/// Body: `inet_csk_accept(sk, …)` returned `child`, which is grafted later. For
/// kernels without `__inet_accept`.
#[inline(always)]
pub(crate) fn returned(sk: *const Sock, child: *const Sock) {
    not_pending(sk, child);
}

/// Counts a connection that was queued before the start. Those that were seen
/// being queued are left to [`grafted`].
#[inline(always)]
fn not_pending(listener: *const Sock, child: *const Sock) {
    if child.is_null() || pending::has(child) || !filter::port(child) || !filter::connection(child)
    {
        return;
    }
    let seen = if listener.is_null() { None } else { listener::of(listener) };
    match seen {
        Some(seen) => leave(Kind::Accepted, seen, child, None),
        None => {
            if let Some(stray) = STRAY.get_ptr_mut(0) {
                // SAFETY: a per-CPU element that only this CPU writes.
                unsafe { (*stray).accepts += 1 };
            }
        }
    }
}

/// Body: `inet_child_forget(sk, req, child)`: a queued connection dies with its
/// listener. It is also called for a connection that was about to be added to a
/// listener which has just closed; that one was announced and never queued.
#[inline(always)]
pub(crate) fn forgotten(child: *const Sock) {
    let Some(pending) = pending::take(child) else { return };
    if pending.depth == 0 {
        return;
    }
    let Some(seen) = listener::seen(pending.slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*seen.totals).beside[Beside::KilledAtClose as usize] += 1 };
    leave(Kind::Killed, seen, child, Some(pending));
}

/// The TCP socket that has the queue: under an MPTCP socket it is the first subflow.
#[inline(always)]
fn tcp_of(sk: *const Sock) -> *const Sock {
    if MPTCP_FIRST.load() == ABSENT || sk.is_null() || read::protocol(sk) != IPPROTO_MPTCP {
        return sk;
    }
    read::pointer(sk, &MPTCP_FIRST)
}

#[inline(always)]
fn leave(kind: Kind, seen: Seen, child: *const Sock, pending: Option<Pending>) {
    let now = listener::now();
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    if kind as u16 == Kind::Accepted as u16 {
        totals.accepted += 1;
        if pending.is_none() {
            totals.untimed += 1;
        }
    }
    let mut left = 0;
    let (mut enqueued_ns, mut depth, mut limit) = (0, 0, 0);
    if let Some(pending) = pending {
        enqueued_ns = pending.enqueued_ns;
        depth = if pending.depth == 0 { pending.expected } else { pending.depth };
        limit = pending.limit;
        // The listener is there: whoever accepts on it or closes it holds it.
        let listener = pending.listener as *const Sock;
        left = listener::depth(listener);
        level(totals, now, left, listener::limit(listener));
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
