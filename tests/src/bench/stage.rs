//! The work to measure: listeners on loopback, and one turn of each scenario's loop. One thread
//! does both sides, so that nothing waits and nothing depends on a scheduler.

use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::held::Held;
use super::scenario::Scenario;
use crate::counters::Counters;
use crate::packets::Segment;
use crate::socket;
use crate::sysctl::Sysctl;

/// The traced port, and one that the tracers filter out if they can.
pub(super) const PORT: u16 = 8000;
const OTHER_PORT: u16 = 8001;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The address of the listener with a full queue.
const FULL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The address that refused SYNs come from.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// The first of their ports, and the number of ports.
const FIRST_PORT: u16 = 20_000;
const CLIENTS: u16 = 512;

/// The position of the TCP header's length in a packet, after an IPv4 header of 20 bytes.
const LENGTH_AT: usize = 20 + 12;

/// A backlog of one, which holds two connections.
const SMALL: i32 = 1;
const LARGE: i32 = 128;

/// The sockets of all scenarios.
#[derive(Debug)]
pub(super) struct Stage {
    v4: TcpListener,
    v6: TcpListener,
    other: TcpListener,
    /// The full queue and its connections, which are only held.
    _full: (Socket, Vec<TcpStream>),
    /// A raw socket that sends packets and receives none.
    raw: Socket,
    syns: Vec<Vec<u8>>,
    /// The same SYNs with a TCP header whose length is too small.
    broken: Vec<Vec<u8>>,
    next: usize,
    held: Held,
    _settings: Vec<Sysctl>,
}

impl Stage {
    /// Opens everything in the calling thread's namespace.
    pub(super) fn set_up() -> Result<Self> {
        // With no room for them, connections leave no TIME_WAIT behind: there would be tens of
        // thousands, and each would make it harder to find the next port.
        let settings = vec![Sysctl::set("net.ipv4.tcp_max_tw_buckets", "0")?];
        let full = listen((FULL, PORT).into(), SMALL)?;
        let mut queued = Vec::new();
        for _ in 0..=SMALL {
            queued.push(TcpStream::connect((FULL, PORT)).context("cannot fill the queue")?);
        }
        let queue = socket::queue(&full).context("cannot read the queue")?;
        ensure!(queue.depth > queue.limit, "the queue is not full: {queue:?}");
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
            .context("cannot open a raw socket (root is needed)")?;
        let syns = (0..CLIENTS).map(|client| {
            let from = SocketAddr::from((CLIENT, FIRST_PORT + client));
            let seq = 1000 * u32::from(client);
            let to = (FULL, PORT).into();
            Segment { from, to, seq, ack: None, syn: true, rst: false, fin: false }.to_packet()
        });
        let syns = syns.collect::<Result<Vec<_>>>()?;
        let broken = syns.iter().cloned().map(shortened).collect();
        Ok(Self {
            v4: listen((V4, PORT).into(), LARGE)?.into(),
            v6: listen((Ipv6Addr::LOCALHOST, PORT).into(), LARGE)?.into(),
            other: listen((V4, OTHER_PORT).into(), LARGE)?.into(),
            _full: (full, queued),
            raw,
            syns,
            broken,
            next: 0,
            held: Held::none()?,
            _settings: settings,
        })
    }

    /// Runs a scenario's turn this many times.
    pub(super) fn turns(&mut self, scenario: Scenario, count: u32) -> Result<()> {
        match scenario {
            Scenario::Ipv4 | Scenario::Ipv6 | Scenario::Filtered => {
                let (listener, address) = self.listener(scenario);
                (0..count).try_for_each(|_| connection(listener, address).and_then(end))
            }
            Scenario::Refused => self.refused(count),
            Scenario::Other => {
                for _ in 0..count {
                    // SAFETY: getppid takes nothing and cannot fail.
                    unsafe { libc::getppid() };
                }
                Ok(())
            }
        }
    }

    fn refused(&mut self, count: u32) -> Result<()> {
        self.send(count, |stage| &stage.syns)
    }

    /// Sends this many identical SYNs with a broken header, which TCP discards in its first lines.
    pub(super) fn discarded(&mut self, count: u32) -> Result<()> {
        self.send(count, |stage| &stage.broken)
    }

    fn send(&mut self, count: u32, packets: fn(&Self) -> &[Vec<u8>]) -> Result<()> {
        let to = SocketAddr::from((FULL, 0)).into();
        for _ in 0..count {
            let packet = packets(self).get(self.next).context("no SYN")?;
            // None gets an answer.
            self.raw.send_to(packet, &to).context("cannot send a SYN")?;
            self.next = (self.next + 1) % self.syns.len();
        }
        Ok(())
    }

    /// Opens a connection that stays open until `release`.
    pub(super) fn hold(&mut self) -> Result<()> {
        let (listener, address) = self.listener(Scenario::Filtered);
        let ends = connection(listener, address)?;
        self.held.keep(ends)
    }

    /// Closes the connections that stayed open.
    pub(super) fn release(&mut self) -> Result<()> {
        self.held.release()
    }

    fn listener(&self, scenario: Scenario) -> (&TcpListener, SocketAddr) {
        match scenario {
            Scenario::Ipv6 => (&self.v6, (Ipv6Addr::LOCALHOST, PORT).into()),
            Scenario::Filtered => (&self.other, (V4, OTHER_PORT).into()),
            _ => (&self.v4, (V4, PORT).into()),
        }
    }

    /// The number of SYNs that full queues have refused since then.
    pub(super) fn refused_since(earlier: &Counters) -> Result<u64> {
        Ok(Counters::read()?.get("ListenOverflows") - earlier.get("ListenOverflows"))
    }
}

/// A SYN whose TCP header claims four words, one less than the minimum.
fn shortened(mut syn: Vec<u8>) -> Vec<u8> {
    if let Some(length) = syn.get_mut(LENGTH_AT) {
        *length = 4 << 4;
    }
    syn
}

/// Connects and accepts; returns both ends.
pub(super) fn connection(listener: &TcpListener, to: SocketAddr) -> Result<[TcpStream; 2]> {
    let client = TcpStream::connect(to).with_context(|| format!("cannot connect to {to}"))?;
    // The handshake is complete when connect returns, since loopback has no delay.
    let (server, _) = listener.accept().context("cannot accept")?;
    Ok([client, server])
}

/// Closes a connection in order, with all four segments.
pub(super) fn end([client, server]: [TcpStream; 2]) -> Result<()> {
    client.shutdown(Shutdown::Write).context("cannot shut down")?;
    drop(server);
    drop(client);
    Ok(())
}

pub(super) fn listen(address: SocketAddr, backlog: i32) -> Result<Socket> {
    let open = || -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(socket)
    };
    open().with_context(|| format!("cannot listen at {address}"))
}
