//! The information on a listener, stored when it gets a slot: its identity, and the caller of
//! listen(). It stays in place; userspace reads it as memory, and records are copies of it.

use aya_ebpf::bindings::BPF_NOEXIST;
use backlog_ebpf::{
    AF_INET,
    record::{ASKED, Endpoint, Kind, Listener, NEW_NETNS, OPENED_NOW, REUSEPORT, V6_ONLY},
};

use super::{
    filter, histograms,
    maps::{FREE_SLOTS, LISTENERS, OWN_PORTS, SLOT_INFO, STRAY},
    namespace, ring, slots,
};
use crate::kernel::{
    caller, cgroup,
    globals::{
        NET_INUM, NET_SOMAXCONN, SK_DROPS, SK_SOCKET, SKC_BITS, SKC_COOKIE, SKC_FAMILY, SKC_NET,
        SKC_NUM, SKC_RCV_SADDR, SKC_REUSEPORT_MASK, SKC_V6_RCV_SADDR, SKC_V6ONLY_MASK, SOCKET_INO,
    },
    log::trace_log,
    read, sock, time,
    types::{Net, Sock, Socket},
};

/// For [`register`]: the current process has called listen() on a listener that was already open.
pub(crate) const LISTENS_AGAIN: u32 = 1 << 31;

/// What [`register`] returns if no slot is free.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Assigns a slot to a listener. Not inlined: it is long, rare and called from many places.
#[inline(never)]
pub(crate) fn register(sk: *const Sock, flags: u32) -> u32 {
    let key = sk as u64;
    let Ok(Some(slot)) = FREE_SLOTS.pop() else {
        count_without_slot();
        return NO_SLOT;
    };
    if filter::by_owner()
        && let Some(own) = OWN_PORTS.get_ptr_mut(u32::from(read::field::<_, u16>(sk, &SKC_NUM)))
    {
        // SAFETY: an element of an array; every writer writes the same value.
        unsafe { *own = 1 };
    }
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return NO_SLOT };
    histograms::reset_marks(slot);
    // SAFETY: the slot has just left the queue of free ones, so nothing else uses it.
    let listener = unsafe { &mut *info };
    describe(listener, sk, slot, flags);
    // Not the address: the verifier forbids arithmetic on a pointer.
    trace_log!("a listener has slot {}", slot);
    if LISTENERS.insert(key, slot, u64::from(BPF_NOEXIST)).is_err() {
        // Another CPU registered the same listener first. Readers of this slot see that it is
        // unused.
        listener.sk = 0;
        let _ = FREE_SLOTS.push(slot, 0);
        return slots::find(sk).unwrap_or(NO_SLOT);
    }
    if let Some(tracked) = slots::tracked(slot) {
        ring::send_listener(Kind::Opened, info, tracked.totals, |_| {});
    }
    slot
}

/// Fills in the information on a listener, in its place in the map.
#[inline(always)]
fn describe(listener: &mut Listener, sk: *const Sock, slot: u32, flags: u32) {
    listener.sk = 0;
    let net: *const Net = read::pointer(sk, &SKC_NET);
    let socket: *const Socket = read::pointer(sk, &SK_SOCKET);
    listener.header = ring::header::<Listener>(Kind::Opened, slot, time::now());
    listener.inode = if socket.is_null() { 0 } else { read::field(socket, &SOCKET_INO) };
    let family: u16 = read::field(sk, &SKC_FAMILY);
    let mut addr = [0; 16];
    if family == AF_INET {
        let v4: [u8; 4] = read::field(sk, &SKC_RCV_SADDR);
        addr[..4].copy_from_slice(&v4);
    } else {
        addr = read::field(sk, &SKC_V6_RCV_SADDR);
    }
    listener.local = Endpoint { addr, port: read::field(sk, &SKC_NUM), family };
    let bits = u32::from(read::field::<_, u8>(sk, &SKC_BITS));
    let mut kept = flags & !LISTENS_AGAIN;
    if bits & SKC_REUSEPORT_MASK.load() != 0 {
        kept |= REUSEPORT;
    }
    if bits & SKC_V6ONLY_MASK.load() != 0 {
        kept |= V6_ONLY;
    }
    listener.flags = kept;
    listener.cookie = read::field(sk, &SKC_COOKIE);
    listener.netns = read::field(net, &NET_INUM);
    listener.depth = sock::depth(sk);
    listener.limit = sock::limit(sk);
    listener.sk_drops = read::field(sk, &SK_DROPS);
    listener.syn_queue = sock::syn_queue(sk);
    listener.was = 0;
    listener.cgroup = cgroup::of(sk);
    listener.somaxconn = read::field(net, &NET_SOMAXCONN);
    listener.identity = namespace::short_identity(net);
    if namespace::is_new(net) {
        listener.flags |= NEW_NETNS;
    }
    if flags & (OPENED_NOW | LISTENS_AGAIN) != 0 {
        record_caller(listener, sk);
    } else {
        (listener.comm, listener.caller, listener.asked) = ([0; 16], 0, 0);
    }
    // Written last: a reader that comes earlier sees an unused slot.
    listener.sk = sk as u64;
}

#[inline(always)]
fn count_without_slot() {
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).no_slot += 1 };
    }
}

/// Records who calls listen(), and with which backlog.
#[inline(always)]
pub(crate) fn record_caller(info: &mut Listener, sk: *const Sock) {
    let net: *const Net = read::pointer(sk, &SKC_NET);
    info.somaxconn = read::field(net, &NET_SOMAXCONN);
    info.caller = caller::process();
    info.comm = caller::name();
    info.flags &= !ASKED;
    if let Some(asked) = caller::asked(info.limit, info.somaxconn) {
        info.asked = asked;
        info.flags |= ASKED;
    }
}
