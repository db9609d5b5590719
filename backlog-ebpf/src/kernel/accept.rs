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

/// Body: `__inet_accept(sock, newsock, newsk)`, which runs once for each accept
/// and after the sleep of a blocking one.
#[inline(always)]
pub(crate) fn grafted(sock: *const Socket, newsk: *const Sock) {
    let child = tcp_of(newsk);
    if child.is_null() || !filter::port(child) || !filter::connection(child) {
        return;
    }
    let listener = tcp_of(read::pointer(sock, &SOCKET_SK));
    taken(listener, child);
}

/// Body: `inet_csk_accept(sk, …)` returned `child`. For kernels without
/// `__inet_accept`; it misses threads that slept in it before the start, which
/// [`grafted_late`] then sees.
#[inline(always)]
pub(crate) fn returned(sk: *const Sock, child: *const Sock) {
    if !child.is_null() && filter::port(child) && filter::connection(child) {
        taken(sk, child);
    }
}

/// Body: `security_sock_graft(newsk, newsock)`, which `inet_accept` calls after
/// `inet_csk_accept`: a connection that is still pending was taken by a thread
/// that slept through the start.
#[inline(always)]
pub(crate) fn grafted_late(newsk: *const Sock) {
    let Some(pending) = pending::take(newsk) else {
        return;
    };
    if let Some(seen) = listener::seen(pending.slot) {
        leave(Kind::Accepted, seen, newsk, Some(pending), None);
    }
}

/// Body: `inet_child_forget(sk, req, child)`: a queued connection dies with its
/// listener. It is also called for a connection that met a listener which had
/// just closed; that one was never queued and is not known here.
#[inline(always)]
pub(crate) fn forgotten(child: *const Sock) {
    let Some(pending) = pending::take(child) else {
        return;
    };
    let Some(seen) = listener::seen(pending.slot) else {
        return;
    };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*seen.totals).beside[Beside::KilledAtClose as usize] += 1 };
    leave(Kind::Killed, seen, child, Some(pending), None);
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
fn taken(listener: *const Sock, child: *const Sock) {
    let pending = pending::take(child);
    let seen = match &pending {
        Some(pending) => listener::seen(pending.slot),
        None if listener.is_null() => None,
        None => listener::of(listener),
    };
    match seen {
        Some(seen) => leave(Kind::Accepted, seen, child, pending, Some(listener)),
        None => {
            if let Some(stray) = STRAY.get_ptr_mut(0) {
                // SAFETY: a per-CPU element that only this CPU writes.
                unsafe { (*stray).accepts += 1 };
            }
        }
    }
}

#[inline(always)]
fn leave(
    kind: Kind,
    seen: Seen,
    child: *const Sock,
    pending: Option<Pending>,
    listener: Option<*const Sock>,
) {
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
    if let Some(listener) = listener {
        left = listener::depth(listener);
        level(totals, now, left, listener::limit(listener));
    }
    let (enqueued_ns, depth, limit) = match pending {
        Some(pending) => (pending.enqueued_ns, pending.depth, pending.limit),
        None => (0, 0, 0),
    };
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
