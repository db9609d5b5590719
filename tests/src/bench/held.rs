//! Connections that stay open, one more after each round. The kernel allocates memory in pages of
//! objects; a loop that always takes the last object of one page and the first of the next would
//! pay for that in each turn. A connection that stays shifts this.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use anyhow::{Context, Result};

/// The connections that stay open.
#[derive(Debug)]
pub(super) struct Held {
    ends: Vec<[TcpStream; 2]>,
    packets: UdpSocket,
}

impl Held {
    /// Starts with none.
    pub(super) fn none() -> Result<Self> {
        let packets = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open UDP")?;
        Ok(Self { ends: Vec::new(), packets })
    }

    /// Keeps a connection until `release`.
    pub(super) fn keep(&mut self, [mut client, server]: [TcpStream; 2]) -> Result<()> {
        // Leave this unread, so that a segment and a packet stay as well.
        client.write_all(&[0]).context("cannot send a byte")?;
        let to = self.packets.local_addr().context("no address")?;
        self.packets.send_to(&[0], to).context("cannot send a packet")?;
        self.ends.push([client, server]);
        Ok(())
    }

    /// Closes the connections.
    pub(super) fn release(&mut self) -> Result<()> {
        for ends in self.ends.drain(..) {
            self.packets.recv(&mut [0]).context("cannot receive a packet")?;
            // Since they hold unread data, they end with a reset.
            drop(ends);
        }
        Ok(())
    }
}
