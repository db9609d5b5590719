//! A connection's socket is made: `inet_sock_set_state` from LISTEN to SYN_RECV, while it
//! is still a copy of its listener. That it is queued is seen afterwards, on the same CPU:
//! by its own change to ESTABLISHED, which the kernel makes right behind the add, or for
//! Fast Open by the end of its SYN.

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

/// The child is about to leave the state of its listener. The other twin comes right
/// before or after, if it comes: nothing else happens on this CPU in between.
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
    // The port is the listener's, or the same.
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
    // One that got its port after its state is added by its first connection.
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

/// Takes this CPU's last birth, if nothing has become of it yet.
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

/// A connection is established. Right after its birth that means that it is queued.
#[inline(always)]
pub(crate) fn established(child: *const Sock) {
    if !shared::running() {
        return;
    }
    if mptcp::is_join_child(child) || !filter::connection(child) {
        return overflow::remove(child);
    }
    let of_cookie = take().is_some_and(|birth| birth.child == child as u64 && birth.cookie != 0);
    // A Fast Open connection was queued before, and may have been accepted: nothing comes
    // between this test and the count.
    let Some((listener, false)) = overflow::announced(child) else { return };
    if let Some(tracked) = enqueue::confirm(listener, child)
        && of_cookie
    {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*tracked.totals).beside[Beside::SynCookieAccepted as usize] += 1 };
    }
    count_if_accepted(child);
}

/// A connection that was accepted early leaves the queue now.
#[inline(always)]
fn count_if_accepted(child: *const Sock) {
    if overflow::was_accepted_before_enqueue(child) {
        accept::count_if_tracked(child, AcceptedBy::Unknown);
    }
}

/// A SYN is done with. A child that was made of it and is still waiting for the end of its
/// handshake was queued by Fast Open.
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

/// Listeners to check behind the expected position, in case a new one was inserted.
const STEPS: u32 = 4;

/// The listener that a child is a copy of. A copy's node in the list of the port's sockets
/// still says where its original stands: behind the pointer to it. Null if the place has
/// changed too much since the copy was made, as on a virtual CPU that stood still meanwhile.
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
        // Another copy may be on its way as well, in the state of its original.
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
