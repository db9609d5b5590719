//! The creation of a connection's socket: `inet_sock_set_state` from LISTEN to SYN_RECV, while it
//! is still a copy of its listener. The same CPU sees afterwards that it is queued: by its change
//! to ESTABLISHED, right after the kernel has added it, or for Fast Open by the end of its SYN.

use backlog_ebpf::cause::Beside;

use super::{ports, twin::Twin};
use crate::handlers::{accept, enqueue, listener, tally};
use crate::kernel::{
    globals::{SKC_BIND_NODE, SKC_NET, SKC_NUM, SKC_STATE},
    mptcp, read,
    types::{Net, Sock, TCP_LISTEN, TCP_SYN_RECV},
};
use crate::state::{
    filter, histograms::AcceptedBy, maps::SCRATCH, mib_snapshot, pending::overflow, shared, slots,
    values::Birth,
};

/// Hook: a child is about to leave the state that it copied from its listener. The other twin runs
/// right before or after, if at all: nothing else happens on this CPU in between.
#[inline(always)]
pub(crate) fn born(child: *const Sock, twin: Twin) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a per-CPU element; sockets of connections are made with bottom halves off.
    let last = unsafe { (*scratch).birth };
    if last.child == child as u64 && last.seen_by == twin.other() {
        // SAFETY: as above.
        unsafe { (*scratch).birth.seen_by = 0 };
        return;
    }
    let net: *const Net = read::pointer(child, &SKC_NET);
    // Also for filtered ports: the next snapshot must not include this move.
    let cookies = mib_snapshot::valid_cookies_delta(net);
    // The child has its listener's port.
    let wanted = shared::running() && filter::port_and_namespace(child);
    if !wanted {
        return;
    }
    let birth =
        Birth { child: child as u64, cookie: u32::from(cookies != 0), seen_by: twin as u32 };
    // SAFETY: as above.
    unsafe { (*scratch).birth = birth };
    let mut parent = parent(child);
    if parent.is_null() {
        parent = ports::only(net as u64, read::field(child, &SKC_NUM));
    }
    if parent.is_null() {
        if !filter::by_owner() {
            listener::count_unattributed();
        }
        return;
    }
    if !filter::listener(parent) {
        return;
    }
    // A listener that got its port after its state change is added at its first connection.
    if !slots::has_slot(parent) {
        ports::add(parent);
    }
    enqueue::announce(parent, child);
    if cookies != 0
        && let Some(tracked) = listener::find(parent)
    {
        tally::cookies_answered(tracked, cookies);
    }
}

/// Takes this CPU's last birth, unless it was already resolved.
#[inline(always)]
fn take() -> Option<Birth> {
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

/// A connection is established. Right after its birth this means that it is queued.
#[inline(always)]
pub(crate) fn established(child: *const Sock) {
    if !shared::running() {
        return;
    }
    if mptcp::is_join_child(child) || !filter::connection(child) {
        return overflow::remove(child);
    }
    let of_cookie = take().is_some_and(|birth| birth.child == child as u64 && birth.cookie != 0);
    // A Fast Open connection was queued earlier and may have been accepted. Nothing on this CPU
    // comes between this test and the count.
    let Some((listener, false)) = overflow::announced(child) else { return };
    if let Some(tracked) = enqueue::confirm(listener, child)
        && of_cookie
    {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*tracked.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
    count_if_accepted(child);
}

/// Counts a connection that was accepted before its enqueue was recorded, which is now.
#[inline(always)]
fn count_if_accepted(child: *const Sock) {
    if overflow::was_accepted_before_enqueue(child) {
        accept::count_if_tracked(child, AcceptedBy::Unknown);
    }
}

/// The kernel has processed a SYN. If it created a child that still waits for the end of its
/// handshake, Fast Open has queued that child.
#[inline(always)]
pub(super) fn syn_done() {
    let Some(birth) = take() else { return };
    let child = birth.child as *const Sock;
    if read::field::<_, u8>(child, &SKC_STATE) == TCP_SYN_RECV
        && let Some((listener, false)) = overflow::announced(child)
        && filter::connection(child)
    {
        enqueue::confirm(listener, child);
        count_if_accepted(child);
    }
}

/// How many listeners are checked from the expected position on, in case new ones were inserted.
const STEPS: u32 = 4;

/// The listener that a child was copied from. The copied `pprev` still points to the pointer before
/// the listener in the list of the port's sockets. Null if the list has changed too much since the
/// copy, for example while a virtual CPU was paused.
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
        // Another copy may be in progress, still in the state of its listener.
        if read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN
            && read::field::<_, u16>(sk, &SKC_NUM) == read::field::<_, u16>(child, &SKC_NUM)
            && sk != child
        {
            return sk;
        }
        node = read::at(node as *const u64, 0);
    }
    core::ptr::null()
}
