//! Connections that stay, one more after each round: the kernel hands out memory by pages
//! of objects, and a loop that takes the last of one and the first of the next would pay
//! for that each time. What stays moves it.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use anyhow::{Context, Result};

/// Those that stayed.
#[derive(Debug)]
pub(super) struct Held {
    ends: Vec<[TcpStream; 2]>,
    packets: UdpSocket,
}

impl Held {
    /// None yet.
    pub(super) fn none() -> Result<Self> {
        let packets = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open UDP")?;
        Ok(Self { ends: Vec::new(), packets })
    }

    /// Keeps a connection, from now to `release`.
    pub(super) fn keep(&mut self, [mut client, server]: [TcpStream; 2]) -> Result<()> {
        // Unread: a segment and a packet stay as well.
        client.write_all(&[0]).context("cannot send a byte")?;
        let to = self.packets.local_addr().context("no address")?;
        self.packets.send_to(&[0], to).context("cannot send a packet")?;
        self.ends.push([client, server]);
        Ok(())
    }

    /// Ends those that stayed.
    pub(super) fn release(&mut self) -> Result<()> {
        for ends in self.ends.drain(..) {
            self.packets.recv(&mut [0]).context("cannot receive a packet")?;
            // Unread as they are, they end by a reset.
            drop(ends);
        }
        Ok(())
    }
}
