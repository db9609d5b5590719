//! The addresses of the server and of the synthetic clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;

use super::truth::Hit;

/// The server's address and netmask.
pub(super) const NET_V4: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(10, 9, 9, 1), Ipv4Addr::new(255, 255, 255, 0));
/// The server's address and prefix.
pub(super) const NET_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1), 64);

/// The first last byte of the clients' addresses, and their first port.
const FIRST_HOST: u16 = 10;
const HOSTS: u16 = 200;
const FIRST_PORT: u16 = 4000;
/// The number of clients with a port of their own.
pub(super) const MOST: u16 = u16::MAX - FIRST_PORT;

/// A synthetic client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    number: u16,
    v6: bool,
}

impl Client {
    /// The client with this number; a number above [`MOST`] reuses an earlier one.
    pub(super) fn new(number: u16, v6: bool) -> Self {
        Self { number: number % MOST, v6 }
    }

    /// The address that it sends from.
    pub(super) fn address(self) -> SocketAddr {
        let host = FIRST_HOST + self.number % HOSTS;
        let ip: IpAddr = if self.v6 {
            let mut parts = NET_V6.0.segments();
            parts[7] = host;
            Ipv6Addr::from(parts).into()
        } else {
            let [a, b, c, _] = NET_V4.0.octets();
            let last = u8::try_from(host).unwrap_or(u8::MAX);
            Ipv4Addr::new(a, b, c, last).into()
        };
        SocketAddr::new(ip, FIRST_PORT + self.number)
    }

    /// Its initial sequence number, which is unique and differs between processes, as with real
    /// clients. With the same number, it would count as a retry of a client in an earlier run.
    pub(super) fn isn(self) -> u32 {
        static FIRST: LazyLock<u32> = LazyLock::new(|| fastrand::u32(..));
        FIRST.wrapping_add(1_000 * u32::from(self.number))
    }

    /// The client in the truth.
    pub(super) fn hit(self) -> Hit {
        let address = self.address();
        Hit { addr: address.ip().to_string(), port: address.port(), isn: self.isn() }
    }
}

/// Prefixes that contain every client, each longer than the interface's own.
pub(super) fn prefixes(v6: bool) -> Vec<(IpAddr, u8)> {
    if v6 {
        let mut parts = NET_V6.0.segments();
        parts[7] = 0;
        return vec![(Ipv6Addr::from(parts).into(), 112)];
    }
    let [a, b, c, _] = NET_V4.0.octets();
    [0, 128].map(|last| (Ipv4Addr::new(a, b, c, last).into(), 25)).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(address: IpAddr) -> u128 {
        match address {
            // Shifted, so that a prefix is a number of leading bits in both families.
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => v6.into(),
        }
    }

    #[test]
    fn every_client_is_another_one_and_in_a_prefix() {
        for v6 in [false, true] {
            let prefixes = prefixes(v6);
            let mut seen = std::collections::HashSet::new();
            for client in (0..MOST).map(|number| Client::new(number, v6)) {
                let address = client.address();
                assert!(seen.insert(address), "{address} twice");
                let within = |&(prefix, length): &(IpAddr, u8)| {
                    let host = 128 - u32::from(length);
                    bits(prefix) >> host == bits(address.ip()) >> host
                };
                assert!(prefixes.iter().any(within), "{address}");
            }
        }
    }

    #[test]
    fn a_client_is_named_as_it_sends() {
        let client = Client::new(3, false);
        let hit = client.hit();
        assert_eq!((hit.addr.as_str(), hit.port, hit.isn), ("10.9.9.13", 4003, client.isn()));
        assert_eq!(client.isn().wrapping_sub(Client::new(0, true).isn()), 3_000);
    }
}
