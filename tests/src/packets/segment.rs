//! A TCP segment, converted to bytes and back, with as much of it as a handshake needs.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use etherparse::{
    Icmpv4Type, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, icmpv4, icmpv6,
};

const HOPS: u8 = 64;
const WINDOW: u16 = 65535;

/// The content of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) seq: u32,
    /// The acknowledged number; None without the ACK flag.
    pub(crate) ack: Option<u32>,
    pub(crate) syn: bool,
    pub(crate) rst: bool,
    pub(crate) fin: bool,
}

impl Segment {
    /// The packet with valid checksums, without a link header.
    pub(crate) fn to_packet(self) -> Result<Vec<u8>> {
        self.to_packet_with(&[], &[])
    }

    /// The same with TCP options (in bytes, a multiple of four) and data.
    pub(super) fn to_packet_with(self, options: &[u8], data: &[u8]) -> Result<Vec<u8>> {
        let ip = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)
            }
            (from, to) => bail!("{from} and {to} are not of one family"),
        };
        let mut tcp = ip.tcp(self.from.port(), self.to.port(), self.seq, WINDOW);
        if self.syn {
            tcp = tcp.syn();
        }
        if self.rst {
            tcp = tcp.rst();
        }
        if self.fin {
            tcp = tcp.fin();
        }
        if let Some(number) = self.ack {
            tcp = tcp.ack(number);
        }
        let tcp = tcp.options_raw(options).context("cannot add the TCP options")?;
        let mut packet = Vec::with_capacity(tcp.size(data.len()));
        tcp.write(&mut packet, data).context("cannot build a packet")?;
        Ok(packet)
    }

    /// An ICMP message that this segment cannot be delivered, of the kind that ends a handshake in
    /// both families. (Host unknown does so in IPv4 only.)
    pub(super) fn unreachable(self) -> Result<Vec<u8>> {
        let lost = self.to_packet()?;
        let mut packet = Vec::new();
        match (self.to.ip(), self.from.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let why = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host);
                PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)
                    .icmpv4(why)
                    .write(&mut packet, &lost)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let why =
                    Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited);
                PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)
                    .icmpv6(why)
                    .write(&mut packet, &lost)
            }
            (from, to) => bail!("{from} and {to} are not of one family"),
        }
        .context("cannot build an ICMP message")?;
        Ok(packet)
    }

    /// Parses a packet; None if it is not TCP (the kernel also sends neighbour and multicast
    /// messages).
    pub(super) fn from_packet(packet: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let (from, to): (IpAddr, IpAddr) = match sliced.net.as_ref()? {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into())
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                (header.source_addr().into(), header.destination_addr().into())
            }
            NetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            return None;
        };
        Some(Self {
            from: (from, tcp.source_port()).into(),
            to: (to, tcp.destination_port()).into(),
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            syn: tcp.syn(),
            rst: tcp.rst(),
            fin: tcp.fin(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(from: &str, to: &str) {
        let segment = Segment {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            seq: 1000,
            ack: Some(7),
            syn: true,
            rst: false,
            fin: false,
        };
        let packet = segment.to_packet().unwrap();
        assert_eq!(Segment::from_packet(&packet), Some(segment));
    }

    #[test]
    fn what_was_built_is_read_back() {
        there_and_back("10.9.9.10:4000", "10.9.9.1:80");
        there_and_back("[fd09::10]:4000", "[fd09::1]:80");
    }

    #[test]
    fn options_and_data_are_in_the_packet() {
        let segment = Segment {
            from: "10.9.9.10:4000".parse().unwrap(),
            to: "10.9.9.1:80".parse().unwrap(),
            seq: 1,
            ack: None,
            syn: true,
            rst: false,
            fin: false,
        };
        let packet = segment.to_packet_with(&[30, 4, 0x10, 0], b"data").unwrap();
        assert_eq!(packet.len(), 20 + 24 + 4);
        assert_eq!(packet[40..], [30, 4, 0x10, 0, b'd', b'a', b't', b'a']);
        assert_eq!(Segment::from_packet(&packet), Some(segment));
        assert!(segment.to_packet_with(&[1; 41], &[]).is_err());
    }

    #[test]
    fn families_do_not_mix_and_noise_is_no_segment() {
        let segment = Segment {
            from: "10.9.9.10:4000".parse().unwrap(),
            to: "[fd09::1]:80".parse().unwrap(),
            seq: 1,
            ack: None,
            syn: true,
            rst: false,
            fin: false,
        };
        assert!(segment.to_packet().is_err());
        assert_eq!(Segment::from_packet(&[0x45, 0, 0]), None);
        assert_eq!(Segment::from_packet(&[]), None);
    }
}
