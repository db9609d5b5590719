//! Makes a prefix unreachable by rtnetlink, until a guard is dropped. (The ioctls of `interface`
//! cannot do this: the kernel takes an IPv6 route with `RTF_REJECT` from there for one through
//! loopback.)

use std::net::IpAddr;

use anyhow::{Context, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::request;

/// An unreachable prefix; dropping it restores the route.
#[derive(Debug)]
#[must_use = "the route returns when this is dropped"]
pub struct Unreachable {
    address: IpAddr,
    bits: u8,
}

impl Unreachable {
    /// Makes `address`/`bits` unreachable in the calling thread's namespace: the longer prefix
    /// takes precedence over that of an interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add(address: IpAddr, bits: u8) -> Result<Self> {
        let message = RouteNetlinkMessage::NewRoute(route(address, bits));
        request(message, NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("cannot create {address}/{bits} unreachable"))?;
        Ok(Self { address, bits })
    }
}

impl Drop for Unreachable {
    fn drop(&mut self) {
        // A failure does no harm, since the test's namespace is discarded.
        let message = RouteNetlinkMessage::DelRoute(route(self.address, self.bits));
        let _ = request(message, 0);
    }
}

fn route(address: IpAddr, bits: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        },
        destination_prefix_length: bits,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope: RouteScope::Universe,
        kind: RouteType::Unreachable,
        ..RouteHeader::default()
    };
    message.attributes = vec![RouteAttribute::Destination(RouteAddress::from(address))];
    message
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::UdpSocket;

    use super::*;
    use crate::netns;

    /// Tests in a namespace that has only the routes of loopback.
    fn comes_and_goes(any: &str, far: &str, bits: u8) {
        let socket = UdpSocket::bind((any, 0)).unwrap();
        let why = || socket.connect((far, 7)).unwrap_err().kind();
        assert_eq!(why(), ErrorKind::NetworkUnreachable);
        let gone = Unreachable::add(far.parse().unwrap(), bits).unwrap();
        assert_eq!(why(), ErrorKind::HostUnreachable);
        assert!(Unreachable::add(far.parse().unwrap(), bits).is_err(), "twice");
        drop(gone);
        assert_eq!(why(), ErrorKind::NetworkUnreachable);
    }

    #[test]
    fn what_is_unreachable_is_so_until_the_end() {
        // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("not root: no namespace to be had");
            return;
        }
        netns::fresh(|| {
            comes_and_goes("0.0.0.0", "10.77.0.0", 16);
            comes_and_goes("::", "fd77::", 112);
        })
        .unwrap();
    }
}
