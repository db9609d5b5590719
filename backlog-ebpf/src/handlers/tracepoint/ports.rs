//! The listeners of each port. A dropped packet does not name its socket, so the listener that
//! dropped it is found here.

use aya_ebpf::bindings::BPF_NOEXIST;

use crate::kernel::{
    globals::{SK_DROPS, SKC_NET, SKC_NUM},
    read,
    types::Sock,
};
use crate::state::{
    maps::{AT_PORT, LISTENED, SCRATCH},
    values::{PortMember, PortSlot},
};

/// Listeners of a port and namespace that are distinguished.
const MEMBERS: u32 = 32;

#[inline(always)]
fn port_of(sk: *const Sock) -> u16 {
    read::field(sk, &SKC_NUM)
}

#[inline(always)]
fn net_of(sk: *const Sock) -> u64 {
    read::field(sk, &SKC_NET)
}

#[inline(always)]
fn drops_of(sk: *const Sock) -> u64 {
    u64::from(read::field::<_, u32>(sk, &SK_DROPS))
}

/// Whether a socket has listened at this port, in any namespace.
#[inline(always)]
pub(crate) fn listened(port: u16) -> bool {
    LISTENED.get(u32::from(port)).is_some_and(|listened| *listened != 0)
}

/// Adds a listener. Returns false if it has no port yet.
#[inline(always)]
pub(crate) fn add(sk: *const Sock) -> bool {
    let port = port_of(sk);
    if port == 0 {
        return false;
    }
    insert(sk, port);
    true
}

#[inline(never)]
fn insert(sk: *const Sock, port: u16) -> u32 {
    if let Some(listened) = LISTENED.get_ptr_mut(u32::from(port)) {
        // SAFETY: an element of an array; every writer writes the same value.
        unsafe { *listened = 1 };
    }
    let net = net_of(sk);
    let member = PortMember { sk: sk as u64, drops: drops_of(sk) };
    for index in 0..MEMBERS {
        let place = PortSlot { net, port: u32::from(port), index };
        // SAFETY: members are copied, not kept.
        if unsafe { AT_PORT.get(place) }.is_some_and(|found| found.sk == sk as u64) {
            return 0;
        }
        // Another CPU may be adding a listener as well: the first one gets the place.
        if AT_PORT.insert(place, member, u64::from(BPF_NOEXIST)).is_ok() {
            return 0;
        }
    }
    1
}

/// Removes a listener; the last member takes its place.
#[inline(always)]
pub(crate) fn remove(sk: *const Sock) {
    forget(sk);
}

#[inline(never)]
fn forget(sk: *const Sock) -> u32 {
    let (net, port) = (net_of(sk), u32::from(port_of(sk)));
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // Kept in memory: if they were constants, the verifier would walk every pair of them.
    // SAFETY: a per-CPU element; a program on this tracepoint is not preempted by another.
    let found = unsafe { &mut (*scratch).port_slots };
    // If every place is taken, the last place is the last member.
    *found = [MEMBERS, MEMBERS - 1];
    for index in 0..MEMBERS {
        match AT_PORT.get_ptr(PortSlot { net, port, index }) {
            // SAFETY: an element of the map, which is not freed while a program runs.
            Some(member) if unsafe { (*member).sk } == sk as u64 => {
                found[0] = index;
                break;
            }
            Some(_) => {}
            None => break,
        }
    }
    for index in 1..MEMBERS {
        if AT_PORT.get_ptr(PortSlot { net, port, index }).is_none() {
            found[1] = index - 1;
            break;
        }
    }
    let [hole, last] = *found;
    if hole >= MEMBERS || last >= MEMBERS {
        return 0;
    }
    let end = PortSlot { net, port, index: last };
    // SAFETY: the member is copied, not kept.
    if last != hole
        && let Some(member) = unsafe { AT_PORT.get(end) }.copied()
    {
        let _ = AT_PORT.insert(PortSlot { net, port, index: hole }, member, 0);
    }
    let _ = AT_PORT.remove(end);
    0
}

/// The listener that dropped a packet to this port: the only one, or of several the one whose
/// `sk_drops` has moved since it was last read. Null if none is known or none moved.
#[inline(always)]
pub(crate) fn refused_by(net: u64, port: u16) -> *const Sock {
    find(net, u32::from(port)) as *const Sock
}

#[inline(never)]
fn find(net: u64, port: u32) -> u64 {
    let mut only = 0;
    for index in 0..MEMBERS {
        let Some(member) = AT_PORT.get_ptr_mut(PortSlot { net, port, index }) else {
            // A port's only listener is the one.
            return if index == 1 { only } else { 0 };
        };
        // SAFETY: an element of the map, which is not freed while a program runs.
        let PortMember { sk, drops } = unsafe { *member };
        let now = drops_of(sk as *const Sock);
        if now != drops {
            // SAFETY: as above; two CPUs may both see the same move.
            unsafe { (*member).drops = now };
            return sk;
        }
        only = sk;
    }
    0
}

/// Whether a listener of this port may have dropped a packet since it was added.
#[inline(always)]
pub(crate) fn may_have_refused(net: u64, port: u16) -> bool {
    let at = |index| AT_PORT.get_ptr(PortSlot { net, port: u32::from(port), index });
    let Some(first) = at(0) else { return false };
    // SAFETY: an element of the map, which is not freed while a program runs.
    let PortMember { sk, drops } = unsafe { *first };
    drops_of(sk as *const Sock) != drops || at(1).is_some()
}

/// The only listener of a port and namespace; null if there are several.
#[inline(always)]
pub(crate) fn only(net: u64, port: u16) -> *const Sock {
    if AT_PORT.get_ptr(PortSlot { net, port: u32::from(port), index: 1 }).is_some() {
        return core::ptr::null();
    }
    first(net, port)
}

/// The first listener of a port and namespace, usually the only one.
#[inline(always)]
pub(crate) fn first(net: u64, port: u16) -> *const Sock {
    // SAFETY: members are copied, not kept.
    match unsafe { AT_PORT.get(PortSlot { net, port: u32::from(port), index: 0 }) } {
        Some(member) => member.sk as *const Sock,
        None => core::ptr::null(),
    }
}
