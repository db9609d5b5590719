//! A connection's socket is made: `inet_sock_set_state` from LISTEN to SYN_RECV, while it
//! is still a copy of its listener. Whether it comes into the queue is seen afterwards, on
//! the same CPU: by `sk_data_ready` at the listener (6.3 and later), else by its own change
//! to ESTABLISHED, which the kernel makes right behind the add.

use backlog_ebpf::{ABSENT, cause::Beside};

use super::{delta, ports};
use crate::kernel::{
    enqueue::{announce, confirm},
    filter,
    globals::{
        HAS_DATA_READY, ICSK_ULP_DATA, SKC_BIND_NODE, SKC_NET, SKC_STATE, SUBFLOW_JOIN,
        SUBFLOW_JOIN_MASK, TP_IS_MPTCP, TP_IS_MPTCP_MASK,
    },
    listener::{self, Seen},
    maps::SCRATCH,
    pending, read,
    types::{Net, Sock, TCP_LISTEN, TCP_SYN_RECV},
};

/// A socket that was made on this CPU a moment ago.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Birth {
    /// Its address; zero: what became of it is known.
    pub(crate) child: u64,
    /// When.
    pub(crate) time_ns: u64,
    /// 1: of a SYN cookie.
    pub(crate) cookie: u64,
}

/// The child is about to leave the state of its listener.
#[inline(always)]
pub(crate) fn born(child: *const Sock) {
    let net: *const Net = read::pointer(child, &SKC_NET);
    // Also when nobody wants to know: the next look must not find this move.
    let cookie = delta::by_cookie(net);
    // The port is the listener's, or the same.
    if !filter::running() || !filter::port(child) {
        return;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let birth = Birth { child: child as u64, time_ns: listener::now(), cookie: u64::from(cookie) };
    // SAFETY: a per-CPU element; sockets of connections are made with bottom halves off.
    unsafe { (*scratch).birth = birth };
    if HAS_DATA_READY.load() == 0 {
        let parent = parent(child);
        if parent.is_null() {
            listener::stray();
        } else {
            known(parent);
            announce(parent, child, Some(birth.time_ns));
        }
    }
}

/// Takes this CPU's last birth, if nothing has become of it yet.
#[inline(always)]
pub(super) fn take() -> Option<Birth> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `born`.
    let birth = unsafe { (*scratch).birth };
    if birth.child == 0 {
        return None;
    }
    // SAFETY: as in `born`.
    unsafe { (*scratch).birth.child = 0 };
    Some(birth)
}

/// Has a socket been made of which it is not known what became of it?
#[inline(always)]
pub(super) fn expected() -> bool {
    // SAFETY: as in `born`.
    SCRATCH.get_ptr(0).is_some_and(|scratch| unsafe { (*scratch).birth.child } != 0)
}

/// A connection is established. Right after its birth that means that it is queued.
#[inline(always)]
pub(crate) fn established(child: *const Sock) {
    if HAS_DATA_READY.load() != 0 || !filter::running() {
        return;
    }
    let Some((listener, queued)) = pending::announced(child) else { return };
    // A Fast Open connection was queued before, and may have been accepted.
    if queued {
        return;
    }
    if is_join(child) || !filter::connection(child) {
        return pending::remove(child);
    }
    let of_cookie = match take() {
        Some(birth) => birth.child == child as u64 && birth.cookie != 0,
        None => false,
    };
    if let Some(seen) = confirm(listener, child) {
        by_cookie(seen, of_cookie);
    }
}

/// The connection has been added to the queue of `listener`.
#[inline(always)]
pub(super) fn queued(listener: *const Sock, birth: Birth) {
    let child = birth.child as *const Sock;
    if is_join(child) || !filter::port(listener) || !filter::connection(child) {
        return;
    }
    known(listener);
    announce(listener, child, Some(birth.time_ns));
    if let Some(seen) = confirm(listener, child) {
        by_cookie(seen, birth.cookie != 0);
    }
}

/// A SYN is done with. A child that was made of it and is still waiting for the end of its
/// handshake was queued by Fast Open.
#[inline(always)]
pub(super) fn syn_done() {
    if HAS_DATA_READY.load() != 0 {
        return;
    }
    let Some(birth) = take() else { return };
    let child = birth.child as *const Sock;
    if read::field::<_, u8>(child, &SKC_STATE) == TCP_SYN_RECV
        && let Some((listener, false)) = pending::announced(child)
        && filter::connection(child)
    {
        confirm(listener, child);
    }
}

/// A connection that was announced is accepted: if its handshake goes on meanwhile, it
/// was queued all the same.
#[inline(always)]
pub(super) fn accepted_early(child: *const Sock) {
    if HAS_DATA_READY.load() == 0
        && let Some((listener, false)) = pending::announced(child)
    {
        if filter::connection(child) {
            confirm(listener, child);
        } else {
            pending::remove(child);
        }
    }
}

#[inline(always)]
fn by_cookie(seen: Seen, cookie: bool) {
    if cookie {
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &mut *seen.totals };
        totals.beside[Beside::SynCookieValid as usize] += 1;
        totals.beside[Beside::SynCookieAccepted as usize] += 1;
    }
}

/// A listener that got its port after its state is noted by its first connection.
#[inline(always)]
fn known(listener: *const Sock) {
    if !listener::has_slot(listener) {
        ports::add(listener);
    }
}

/// Listeners that are looked at behind the place where a newcomer has come in between.
const STEPS: u32 = 4;

/// The listener that a child is a copy of. A copy's node in the list of the port's sockets
/// still says where its original stands: behind the pointer to it.
#[inline(always)]
fn parent(child: *const Sock) -> *const Sock {
    /// `struct hlist_node`: next, and the pointer that points here.
    const PPREV: usize = 8;

    let offset = SKC_BIND_NODE.load() as usize;
    let place: u64 = read::at(child, offset + PPREV);
    let mut node: u64 = read::at(place as *const u64, 0);
    for _ in 0..STEPS {
        if node == 0 {
            break;
        }
        let sk = node.wrapping_sub(offset as u64) as *const Sock;
        if read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN {
            return sk;
        }
        node = read::at(node as *const u64, 0);
    }
    core::ptr::null()
}

/// Does a child join an MPTCP connection? Then it is never queued.
#[inline(always)]
fn is_join(child: *const Sock) -> bool {
    if TP_IS_MPTCP.load() == ABSENT || SUBFLOW_JOIN.load() == ABSENT {
        return false;
    }
    let mptcp = u32::from(read::field::<_, u8>(child, &TP_IS_MPTCP)) & TP_IS_MPTCP_MASK.load();
    if mptcp == 0 {
        return false;
    }
    let subflow: *const u8 = read::pointer(child, &ICSK_ULP_DATA);
    u32::from(read::field::<_, u8>(subflow, &SUBFLOW_JOIN)) & SUBFLOW_JOIN_MASK.load() != 0
}
