//! Clients whose addresses and ports depend only on their number: a loop uses the same ones with
//! and without a tracer, and so the same hash chains in the kernel.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use super::super::held::Held;
use super::super::stage::{self, listen};

/// The first of the clients' addresses.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);
/// Their ports start at 10,000; each address has this many.
const PORTS: u32 = 50_000;
const FIRST_PORT: u32 = 10_000;
/// A port that the tool filters out.
const SPARE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 8999);

/// An iterator over the clients.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clients {
    next: u32,
}

impl Clients {
    /// Starts at a number.
    pub(super) fn starting_at(next: u32) -> Self {
        Self { next }
    }

    /// Connects the next one.
    pub(super) fn connect(&mut self, to: SocketAddr) -> Result<TcpStream> {
        let from = address(self.next);
        self.next += 1;
        let connect = || -> std::io::Result<TcpStream> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&from.into())?;
            socket.connect(&to.into())?;
            Ok(socket.into())
        };
        connect().with_context(|| format!("cannot connect from {from} to {to}"))
    }
}

fn address(number: u32) -> SocketAddr {
    let address = Ipv4Addr::from_bits(FIRST.to_bits() + number / PORTS);
    // Below 65,536, since the ports end at 60,000.
    let port = u16::try_from(FIRST_PORT + number % PORTS).unwrap_or(u16::MAX);
    (address, port).into()
}

/// A listener that is not measured, with connections that stay open.
#[derive(Debug)]
pub(super) struct Spare {
    listener: TcpListener,
    held: Held,
}

impl Spare {
    /// Starts without connections.
    pub(super) fn set_up() -> Result<Self> {
        Ok(Self { listener: listen(SPARE.into(), 128)?.into(), held: Held::none()? })
    }

    /// Opens one more.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.held.keep(stage::connection(&self.listener, SPARE.into())?)
    }

    /// Closes all of them.
    pub(super) fn release(&mut self) -> Result<()> {
        self.held.release()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_another_one() {
        assert_eq!(address(0).to_string(), "127.3.0.1:10000");
        assert_eq!(address(49_999).to_string(), "127.3.0.1:59999");
        assert_eq!(address(50_000).to_string(), "127.3.0.2:10000");
        assert_eq!(address(130_001).to_string(), "127.3.0.3:40001");
    }
}
