//! Reads of kernel memory at offsets that the loader found in BTF.

use backlog_ebpf::{AF_INET, AF_INET6, record::Endpoint};

use super::{
    globals::{
        Field, SK_PROTOCOL, SKB_HEAD, SKB_NETWORK_HEADER, SKB_PROTOCOL, SKB_TRANSPORT_HEADER,
        SKC_DADDR, SKC_DPORT, SKC_FAMILY, SKC_V6_DADDR,
    },
    pointers::KernelPtr,
    types::{ETH_P_IP_BE, SkBuff, Sock},
};

/// The value of type `T` at `offset` bytes from `base`.
#[inline(always)]
pub(crate) fn at<B, T: Copy + Default>(base: impl KernelPtr<B>, offset: usize) -> T {
    base.at(offset)
}

/// A field.
#[inline(always)]
pub(crate) fn field<B, T: Copy + Default>(base: impl KernelPtr<B>, field: &impl Field) -> T {
    base.field(field)
}

/// A field that is a pointer; null if the read fails.
#[inline(always)]
pub(crate) fn pointer<B, P: KernelPtr<B>, T>(base: P, field: &impl Field) -> P::To<T> {
    base.pointer(field)
}

/// The remote end of a socket or of a request: both begin with `sock_common`.
#[inline(always)]
pub(crate) fn remote<B>(common: impl KernelPtr<B>) -> Endpoint {
    let family = field::<_, u16>(common, &SKC_FAMILY);
    let mut addr = [0; 16];
    if family == AF_INET {
        let v4: [u8; 4] = field(common, &SKC_DADDR);
        addr[..4].copy_from_slice(&v4);
    } else {
        addr = field(common, &SKC_V6_DADDR);
    }
    Endpoint { addr, port: u16::from_be(field(common, &SKC_DPORT)), family }
}

/// The protocol of a socket: `IPPROTO_TCP` or `IPPROTO_MPTCP`.
#[inline(always)]
pub(crate) fn protocol(sk: impl KernelPtr<Sock>) -> u16 {
    field(sk, &SK_PROTOCOL)
}

/// The family of a packet.
#[inline(always)]
pub(crate) fn packet_family(skb: *const SkBuff) -> u16 {
    if field::<_, u16>(skb, &SKB_PROTOCOL) == ETH_P_IP_BE { AF_INET } else { AF_INET6 }
}

/// The byte of a packet's TCP flags.
#[inline(always)]
pub(crate) fn flags(skb: *const SkBuff) -> u8 {
    /// Their offset in a TCP header.
    const TCP_FLAGS: usize = 13;

    let head: *const u8 = pointer(skb, &SKB_HEAD);
    let transport = field::<_, u16>(skb, &SKB_TRANSPORT_HEADER) as usize;
    at(head, transport + TCP_FLAGS)
}

/// The sender of a packet, and its sequence number.
#[inline(always)]
pub(crate) fn sender(skb: *const SkBuff) -> (Endpoint, u32) {
    /// The offset of the source address in an IPv4 header.
    const IPV4_SOURCE: usize = 12;
    /// Its offset in an IPv6 header.
    const IPV6_SOURCE: usize = 8;
    /// The offset of the sequence number in a TCP header; the port is at 0.
    const TCP_SEQUENCE: usize = 4;

    let head: *const u8 = pointer(skb, &SKB_HEAD);
    let network = field::<_, u16>(skb, &SKB_NETWORK_HEADER) as usize;
    let transport = field::<_, u16>(skb, &SKB_TRANSPORT_HEADER) as usize;
    let family = packet_family(skb);
    let mut addr = [0; 16];
    if family == AF_INET {
        let v4: [u8; 4] = at(head, network + IPV4_SOURCE);
        addr[..4].copy_from_slice(&v4);
    } else {
        addr = at(head, network + IPV6_SOURCE);
    }
    let port = u16::from_be(at(head, transport));
    let sequence = u32::from_be(at(head, transport + TCP_SEQUENCE));
    (Endpoint { addr, port, family }, sequence)
}
