//! The user's filter, tested before anything is recorded. Where no filter is set, the verifier
//! removes the tests.

use backlog_ebpf::{
    AF_INET, AF_INET6,
    filter::{port_bit, port_word},
};

use super::{
    maps::{ASKED_NETNS, OWN_PORTS, PORTS, WANTED},
    namespace, slots,
};
use crate::kernel::{
    caller, cgroup,
    globals::{
        FILTER_CGROUP, FILTER_CGROUP_LEVEL, FILTER_FAMILY, FILTER_NETNS, FILTER_PID, FILTER_PORT,
        FILTER_PORTS, FILTER_SOCKETS, NET_INUM, SK_SOCKET, SKC_FAMILY, SKC_NET, SKC_NUM,
        SKC_V6_DADDR, SOCKET_INO,
    },
    pointers::KernelPtr,
    read,
    types::{Net, Request, SkBuff, Sock, Socket},
};

/// Whether this socket's local port and network namespace are traced.
#[inline(always)]
pub(crate) fn port_and_namespace(sk: impl KernelPtr<Sock>) -> bool {
    (FILTER_PORTS.load() == 0 || port(read::field(sk, &SKC_NUM))) && namespace(sk)
}

/// Whether this socket's network namespace is traced.
#[inline(always)]
pub(crate) fn namespace(sk: impl KernelPtr<Sock>) -> bool {
    FILTER_NETNS.load() == 0 || net(read::pointer::<_, _, Net>(sk, &SKC_NET))
}

/// Whether this network namespace is traced.
#[inline(always)]
pub(crate) fn net(net: impl KernelPtr<Net>) -> bool {
    let wanted = FILTER_NETNS.load();
    wanted == 0 || (read::field::<_, u32>(net, &NET_INUM) == wanted && is_same_namespace(net))
}

/// Another namespace may get the inode number after the first one has ended.
#[inline(always)]
fn is_same_namespace(net: impl KernelPtr<Net>) -> bool {
    let identity = ASKED_NETNS.get(0).copied().unwrap_or(0);
    identity == 0 || namespace::short_identity(net) == identity
}

/// Whether this listener is traced. A known one stays traced: its process may have passed it on.
#[inline(always)]
pub(crate) fn listener(sk: impl KernelPtr<Sock>) -> bool {
    port_and_namespace(sk)
        && (!by_owner() || slots::was_known(sk.address()) || chosen(sk.address()))
}

/// Whether the filter depends on the owner of a listener.
#[inline(always)]
pub(crate) fn by_owner() -> bool {
    FILTER_SOCKETS.load() != 0 || FILTER_CGROUP.load() != 0
}

/// Whether an unknown connection may match the filter. Only its port is known, not its listener,
/// and a reset connection has lost its port, too.
#[inline(always)]
pub(crate) fn may_be_ours(child: impl KernelPtr<Sock>, port: u16) -> bool {
    !by_owner()
        || (OWN_PORTS.get(u32::from(port)).is_some_and(|own| port != 0 && *own != 0)
            && within(child.address()))
}

/// Whether the owner of a listener that is not known yet is traced.
#[inline(always)]
pub(crate) fn chosen(sk: *const Sock) -> bool {
    within(sk) && (FILTER_SOCKETS.load() == 0 || is_wanted(sk))
}

/// Whether a listener that the current process is opening is traced.
#[inline(always)]
pub(crate) fn opening(sk: *const Sock) -> bool {
    port_and_namespace(sk)
        && within(sk)
        && (FILTER_SOCKETS.load() == 0 || caller::process() == FILTER_PID.load() || is_wanted(sk))
}

#[inline(always)]
fn within(sk: *const Sock) -> bool {
    let wanted = FILTER_CGROUP.load();
    wanted == 0 || cgroup::is_below(sk, wanted, FILTER_CGROUP_LEVEL.load())
}

#[inline(always)]
fn is_wanted(sk: *const Sock) -> bool {
    let socket: *const Socket = read::pointer(sk, &SK_SOCKET);
    if socket.is_null() {
        return false;
    }
    let inode: u64 = read::field(socket, &SOCKET_INO);
    // SAFETY: the value never changes, and is not read.
    unsafe { WANTED.get(inode) }.is_some()
}

/// Whether this local port is traced.
#[inline(always)]
pub(crate) fn port(port: u16) -> bool {
    let only = FILTER_PORT.load();
    if only != 0 {
        return u32::from(port) == only;
    }
    if FILTER_PORTS.load() == 0 {
        return true;
    }
    match PORTS.get(port_word(port)) {
        Some(word) => word & port_bit(port) != 0,
        None => false,
    }
}

/// Whether this packet's family is traced.
#[inline(always)]
pub(crate) fn packet(skb: *const SkBuff) -> bool {
    FILTER_FAMILY.load() == 0 || family(read::packet_family(skb))
}

#[inline(always)]
fn family(family: u16) -> bool {
    let wanted = FILTER_FAMILY.load();
    wanted == 0 || wanted == u32::from(family)
}

/// Whether this request's family is traced. An IPv4 client of a `[::]` listener has an IPv4
/// request.
#[inline(always)]
pub(crate) fn request(req: impl KernelPtr<Request>) -> bool {
    FILTER_FAMILY.load() == 0 || family(read::field(req, &SKC_FAMILY))
}

/// Whether this connection's family is traced. The socket of an IPv4 client of a `[::]` listener is
/// an IPv6 one with a mapped address.
#[inline(always)]
pub(crate) fn connection(child: impl KernelPtr<Sock>) -> bool {
    if FILTER_FAMILY.load() == 0 {
        return true;
    }
    let mut found: u16 = read::field(child, &SKC_FAMILY);
    if found == AF_INET6 {
        let addr: [u32; 4] = read::field(child, &SKC_V6_DADDR);
        if addr[0] == 0 && addr[1] == 0 && addr[2] == 0xffff_u32.to_be() {
            found = AF_INET;
        }
    }
    family(found)
}
