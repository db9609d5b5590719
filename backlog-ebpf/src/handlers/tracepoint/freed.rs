//! A packet is freed: `consume_skb` for a SYN, `kfree_skb` for an ACK that created no connection.
//! If a listener dropped it, the counters have moved since the last snapshot.

use backlog_ebpf::{AF_INET, AF_INET6};

use super::{classify, packet::Packet, ports};
use crate::kernel::{
    globals::{
        DST_DEV, NETDEV_NET, SKB_DST, SKB_HEAD, SKB_NETWORK_HEADER, SKB_TRANSPORT_HEADER, SKC_STATE,
    },
    read,
    types::{
        IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, Net, SkBuff, Sock, TCP_ACK, TCP_LISTEN, TCP_SYN,
    },
};
use crate::state::filter;

/// The first bytes of a TCP header.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Tcp {
    /// Source and destination port.
    ports: [u16; 2],
    numbers: [u32; 2],
    offset: u8,
    flags: u8,
}

/// Hook: `consume_skb(skb)`. All sent packets get here, and every SYN at a listener, dropped or
/// not.
#[inline(always)]
pub(crate) fn consumed(skb: *const SkBuff) {
    let (tcp, port) = header(skb);
    if wanted(port) && u32::from(tcp.flags) & (TCP_SYN | TCP_ACK) == TCP_SYN {
        if let Some(packet) = packet(skb, &tcp, port) {
            classify::syn(&packet);
        }
    } else {
        icmp(skb, &tcp);
    }
}

/// Hook: `kfree_skb(skb, …[, rx_sk])`: every packet that was dropped. `by` is the socket
/// that dropped it, null where the kernel does not pass it (before 6.11).
#[inline(always)]
pub(crate) fn dropped(skb: *const SkBuff, by: *const Sock) {
    let (tcp, port) = header(skb);
    if !wanted(port) || u32::from(tcp.flags) & TCP_SYN != 0 {
        return icmp(skb, &tcp);
    }
    // A packet of an established connection moves none of these counters.
    let listens = !by.is_null() && read::field::<_, u8>(by, &SKC_STATE) == TCP_LISTEN;
    if let Some(packet) = packet(skb, &tcp, port) {
        classify::ack(&packet, if listens { by } else { core::ptr::null() });
    }
}

/// The packet's header if it is TCP, and its destination port.
#[inline(always)]
fn header(skb: *const SkBuff) -> (Tcp, u16) {
    let tcp: Tcp = read::at(transport(skb), 0);
    let port = u16::from_be(tcp.ports[1]);
    (tcp, port)
}

#[inline(always)]
fn transport(skb: *const SkBuff) -> *const u8 {
    let head: *const u8 = read::pointer(skb, &SKB_HEAD);
    head.wrapping_add(read::field::<_, u16>(skb, &SKB_TRANSPORT_HEADER) as usize)
}

#[inline(always)]
fn wanted(port: u16) -> bool {
    ports::listened(port) && filter::port(port)
}

/// The network and the transport protocol.
#[inline(always)]
fn protocols(skb: *const SkBuff) -> (u16, u16) {
    /// The offset of the protocol in an IPv4 header.
    const IPV4_PROTOCOL: usize = 9;
    /// The offset of the protocol in an IPv6 header. (Extension headers before TCP hide it; packets
    /// of a handshake have none.)
    const IPV6_PROTOCOL: usize = 6;

    let head: *const u8 = read::pointer(skb, &SKB_HEAD);
    let network = read::field::<_, u16>(skb, &SKB_NETWORK_HEADER) as usize;
    let family = read::packet_family(skb);
    let offset = if family == AF_INET { IPV4_PROTOCOL } else { IPV6_PROTOCOL };
    (family, u16::from(read::at::<_, u8>(head, network + offset)))
}

/// Handles an ICMP message "destination unreachable", which may end a request. It quotes the packet
/// that it answers: the listener's port follows that packet's IP header.
#[inline(always)]
fn icmp(skb: *const SkBuff, message: &Tcp) {
    /// "Destination unreachable", ICMP and ICMPv6.
    const UNREACHABLE: u8 = 3;
    const UNREACHABLE_V6: u8 = 1;
    /// The highest of their codes.
    const CODES: u8 = 15;
    /// Bytes of an ICMP header.
    const ICMP: usize = 8;

    let [kind, code] = message.ports[0].to_ne_bytes();
    if (kind != UNREACHABLE && kind != UNREACHABLE_V6) || code > CODES {
        return;
    }
    let ip = match protocols(skb) {
        (AF_INET, IPPROTO_ICMP) => 20,
        (AF_INET6, IPPROTO_ICMPV6) => 40,
        _ => return,
    };
    let port = u16::from_be(read::at(transport(skb), ICMP + ip));
    if wanted(port)
        && let Some(net) = net(skb)
    {
        classify::unreachable(&Packet { skb, net, port, flags: 0 });
    }
}

#[inline(always)]
fn packet(skb: *const SkBuff, tcp: &Tcp, port: u16) -> Option<Packet> {
    if protocols(skb).1 != IPPROTO_TCP {
        return None;
    }
    let flags = u32::from(tcp.flags);
    net(skb).map(|net| Packet { skb, net, port, flags })
}

/// The namespace that received a packet, if it is traced. The packet no longer has its device; its
/// route's device is in the same namespace. (The lowest bit of the route is a reference flag.)
#[inline(always)]
fn net(skb: *const SkBuff) -> Option<*const Net> {
    let route = read::field::<_, u64>(skb, &SKB_DST) & !1;
    let device: *const u8 = read::pointer(route as *const u8, &DST_DEV);
    let net: *const Net = read::pointer(device, &NETDEV_NET);
    (route != 0 && !net.is_null() && filter::net(net)).then_some(net)
}
