//! A listener with made-up clients in front of it. The clients only do what
//! they are told: nothing is answered or repeated by itself, so the server's
//! own retransmissions change no count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::options::Options;
use super::segment::Segment;
use super::truth::Hit;
use super::tun::Tun;
use crate::clock::wait_until;
use crate::load::Family;
use crate::socket;

/// The server's address and netmask.
pub(super) const NET_V4: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(10, 9, 9, 1), Ipv4Addr::new(255, 255, 255, 0));
/// The server's address and prefix.
pub(super) const NET_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1), 64);

/// Clients have addresses from this last byte on, and ports from this one.
const FIRST_HOST: u16 = 10;
const FIRST_PORT: u16 = 4000;
/// Longest time for the kernel to do what it must.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to listen for what must not come.
const QUIET: Duration = Duration::from_millis(50);

/// A made-up client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    number: u16,
    v6: bool,
}

impl Client {
    fn address(self) -> SocketAddr {
        let host = FIRST_HOST + self.number % 200;
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

    /// Its initial sequence number: one of its own.
    fn isn(self) -> u32 {
        100_000 + 1_000 * u32::from(self.number)
    }

    /// As the truth names it.
    pub(super) fn hit(self) -> Hit {
        let address = self.address();
        Hit { addr: address.ip().to_string(), port: address.port(), isn: self.isn() }
    }
}

/// The listener, the device, and the clients so far.
#[derive(Debug)]
pub(super) struct Stage {
    tun: Tun,
    listener: Socket,
    server: SocketAddr,
    clients: u16,
    /// The server's sequence numbers, from its SYN-ACKs.
    answers: HashMap<SocketAddr, u32>,
    /// Resets that the server sent.
    pub(super) resets: u64,
}

impl Stage {
    /// Sets it up in the calling thread's namespace.
    pub(super) fn set_up(options: &Options) -> Result<Self> {
        let tun = Tun::open()?;
        let (bind, reach): (IpAddr, IpAddr) = match options.family {
            Family::V4 => (NET_V4.0.into(), NET_V4.0.into()),
            Family::V6 => (NET_V6.0.into(), NET_V6.0.into()),
            Family::Dual => (Ipv6Addr::UNSPECIFIED.into(), NET_V4.0.into()),
        };
        let address = SocketAddr::new(bind, options.port);
        let listener = listen(options, address).with_context(|| format!("listen on {address}"))?;
        let bound = listener.local_addr()?.as_socket().context("no port")?;
        let granted = socket::queue(&listener)?.limit;
        ensure!(
            granted == u32::from(options.backlog),
            "the kernel granted a backlog of {granted} only: raise net.core.somaxconn"
        );
        Ok(Self {
            tun,
            listener,
            server: SocketAddr::new(reach, bound.port()),
            clients: 0,
            answers: HashMap::new(),
            resets: 0,
        })
    }

    /// The port listened on.
    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    /// How many are in the accept queue.
    pub(super) fn depth(&self) -> Result<u64> {
        Ok(socket::queue(&self.listener)?.depth.into())
    }

    /// That many clients nobody has seen yet.
    pub(super) fn new_clients(&mut self, count: u16) -> Vec<Client> {
        let first = self.clients;
        self.clients += count;
        let v6 = self.server.is_ipv6();
        (first..first + count).map(|number| Client { number, v6 }).collect()
    }

    /// Sends the SYN of each.
    pub(super) fn syn(&mut self, clients: &[Client]) -> Result<()> {
        for client in clients {
            self.send(*client, client.isn(), None)?;
        }
        Ok(())
    }

    /// Waits until each of them got its SYN-ACK.
    pub(super) fn await_syn_acks(&mut self, clients: &[Client]) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while let Some(client) =
            clients.iter().find(|client| !self.answers.contains_key(&client.address()))
        {
            let missing = client.address();
            ensure!(Instant::now() < end, "no SYN-ACK for {missing}");
            self.listen_for(QUIET)?;
        }
        Ok(())
    }

    /// Makes sure that none of them got a SYN-ACK.
    pub(super) fn ensure_no_syn_acks(&mut self, clients: &[Client]) -> Result<()> {
        while self.listen_for(QUIET)? {}
        for client in clients {
            let address = client.address();
            ensure!(
                !self.answers.contains_key(&address),
                "{address} got a SYN-ACK, though the accept queue is full"
            );
        }
        Ok(())
    }

    /// Sends the final ACK of each.
    pub(super) fn ack(&mut self, clients: &[Client]) -> Result<()> {
        for client in clients {
            let theirs = self.answers.get(&client.address());
            let theirs = *theirs.context("an ACK before the SYN-ACK")?;
            self.send(*client, client.isn().wrapping_add(1), Some(theirs.wrapping_add(1)))?;
        }
        Ok(())
    }

    /// Leads that many new clients through the whole handshake, one by one.
    pub(super) fn fill(&mut self, count: u16) -> Result<()> {
        for client in self.new_clients(count) {
            let depth = self.depth()?;
            self.syn(&[client])?;
            self.await_syn_acks(&[client])?;
            self.ack(&[client])?;
            self.await_depth(depth + 1)?;
        }
        Ok(())
    }

    /// Waits until the accept queue is that long.
    pub(super) fn await_depth(&self, depth: u64) -> Result<()> {
        let what = format!("the accept queue to hold {depth}");
        wait_until(&what, LIMIT, || Ok(self.depth()? == depth))
    }

    /// Waits until the server has sent that many resets.
    pub(super) fn await_resets(&mut self, count: u64) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while self.resets < count {
            let seen = self.resets;
            ensure!(Instant::now() < end, "{seen} of {count} resets came");
            self.listen_for(QUIET)?;
        }
        Ok(())
    }

    fn send(&mut self, client: Client, seq: u32, ack: Option<u32>) -> Result<()> {
        let segment = Segment {
            from: client.address(),
            to: self.server,
            seq,
            ack,
            syn: ack.is_none(),
            rst: false,
        };
        self.tun.send(&segment.to_packet()?)
    }

    /// Takes in one packet of the server, if one comes within `limit`.
    fn listen_for(&mut self, limit: Duration) -> Result<bool> {
        let Some(packet) = self.tun.receive(limit)? else {
            return Ok(false);
        };
        if let Some(segment) = Segment::from_packet(&packet)
            && segment.from == self.server
        {
            if segment.syn && segment.ack.is_some() {
                self.answers.insert(segment.to, segment.seq);
            }
            self.resets += u64::from(segment.rst);
        }
        Ok(true)
    }
}

fn listen(options: &Options, address: SocketAddr) -> std::io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listener.set_reuse_address(true)?;
    if address.is_ipv6() {
        listener.set_only_v6(options.family == Family::V6)?;
    }
    listener.bind(&SockAddr::from(address))?;
    listener.listen(options.backlog.into())?;
    Ok(listener)
}
