//! What the user asked for, tested before anything is recorded. With no filter
//! the verifier removes the tests.

use backlog_ebpf::{
    AF_INET, AF_INET6,
    filter::{port_bit, port_word},
};

use super::{
    globals::{FILTER_FAMILY, FILTER_PORT, FILTER_PORTS, SKC_FAMILY, SKC_NUM, SKC_V6_DADDR},
    maps::PORTS,
    place::Place,
    read,
    shared::EPOCH,
    types::{Request, SkBuff, Sock},
};

/// Has userspace begun, and not ended? The programs are attached one after the
/// other and taken off likewise; in between they must not see half of what happens.
#[inline(always)]
pub(crate) fn running() -> bool {
    EPOCH.get() != 0
}

/// Is this socket's local port one to look at?
#[inline(always)]
pub(crate) fn port(sk: impl Place<Sock>) -> bool {
    if FILTER_PORTS.load() == 0 {
        return true;
    }
    number(read::field(sk, &SKC_NUM))
}

/// Is this local port one to look at?
#[inline(always)]
pub(crate) fn number(port: u16) -> bool {
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

/// Is this packet's family one to look at?
#[inline(always)]
pub(crate) fn packet(skb: *const SkBuff) -> bool {
    FILTER_FAMILY.load() == 0 || family(read::packet_family(skb))
}

#[inline(always)]
fn family(family: u16) -> bool {
    let wanted = FILTER_FAMILY.load();
    wanted == 0 || wanted == u32::from(family)
}

/// Is this request's family one to look at? An IPv4 client of a `[::]` listener
/// has an IPv4 request.
#[inline(always)]
pub(crate) fn request(req: impl Place<Request>) -> bool {
    FILTER_FAMILY.load() == 0 || family(read::field(req, &SKC_FAMILY))
}

/// Is this connection's family one to look at? The socket of an IPv4 client of a
/// `[::]` listener is an IPv6 one with a mapped address.
#[inline(always)]
pub(crate) fn connection(child: impl Place<Sock>) -> bool {
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
