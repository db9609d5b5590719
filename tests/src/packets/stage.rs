//! Listeners with synthetic clients. The clients only act on command: they neither answer nor
//! repeat anything on their own, so the server's retransmissions change no count.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::Socket;

use super::client::Client;
use super::listen::listen;
use super::options::Options;
use super::scenario::Scenario;
use super::segment::Segment;
use super::tun::Tun;
use crate::clock::wait_until;
use crate::{requests, socket};

/// The time limit for the kernel's reactions.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// How long to check that something does not arrive.
const QUIET: Duration = Duration::from_millis(50);

/// The listeners, the device, and the clients so far.
#[derive(Debug)]
pub(super) struct Stage {
    tun: Tun,
    /// More than one only for scenarios that need several.
    listeners: Vec<Socket>,
    /// Connections that were accepted.
    accepted: Vec<Socket>,
    /// Does the first one report its `sk_drops`? (An MPTCP listener does not.)
    shows_drops: bool,
    server: SocketAddr,
    clients: u16,
    /// The server's sequence numbers, from its SYN-ACKs.
    answers: HashMap<SocketAddr, u32>,
    /// Resets that the server sent.
    pub(super) resets: u64,
}

impl Stage {
    /// Sets everything up in the calling thread's namespace.
    pub(super) fn set_up(options: &Options) -> Result<Self> {
        let tun = Tun::open()?;
        let (listeners, server) = listen(options)?;
        let shows_drops = listeners.len() == 1 && options.scenario != Scenario::JoinRefused;
        Ok(Self {
            tun,
            listeners,
            accepted: Vec::new(),
            shows_drops,
            server,
            clients: 0,
            answers: HashMap::new(),
            resets: 0,
        })
    }

    /// The listening port.
    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    /// Are the packets IPv6?
    pub(super) fn is_v6(&self) -> bool {
        self.server.is_ipv6()
    }

    /// The open listeners.
    pub(super) fn listeners(&self) -> &[Socket] {
        &self.listeners
    }

    /// The only listener.
    pub(super) fn listener(&self) -> Result<&Socket> {
        self.listeners.first().context("the listener is closed")
    }

    /// Closes a listener with its queue.
    pub(super) fn close(&mut self, place: usize) {
        if place < self.listeners.len() {
            drop(self.listeners.remove(place));
        }
    }

    /// The number of connections in the accept queues.
    pub(super) fn depth(&self) -> Result<u64> {
        let mut depth = 0;
        for listener in &self.listeners {
            depth += u64::from(socket::queue(listener)?.depth);
        }
        Ok(depth)
    }

    /// The `sk_drops` of the only listener, if it can be read.
    pub(super) fn sk_drops(&self) -> Result<Option<u64>> {
        let shown = self.listeners.first().filter(|_| self.shows_drops);
        shown.map(socket::drops).transpose().context("cannot read sk_drops")
    }

    /// The number of requests in the SYN queue.
    pub(super) fn requests(&self) -> Result<u64> {
        requests::at_port(self.port())
    }

    /// This many clients that have not been used yet.
    pub(super) fn new_clients(&mut self, count: u16) -> Vec<Client> {
        let first = self.clients;
        self.clients = first.wrapping_add(count);
        let v6 = self.is_v6();
        let clients: Vec<Client> =
            (0..count).map(|number| Client::new(first.wrapping_add(number), v6)).collect();
        // After tens of thousands, numbers are reused.
        for client in &clients {
            self.answers.remove(&client.address());
        }
        clients
    }

    /// Sends the SYN of each.
    pub(super) fn syn(&mut self, clients: &[Client]) -> Result<()> {
        self.syn_with(clients, &[], &[])
    }

    /// Sends the SYN of each, with TCP options and data.
    pub(super) fn syn_with(
        &mut self,
        clients: &[Client],
        options: &[u8],
        data: &[u8],
    ) -> Result<()> {
        for client in clients {
            let syn = Segment { syn: true, ..self.from(*client) };
            self.tun.send(&syn.to_packet_with(options, data)?)?;
        }
        Ok(())
    }

    /// Has the client got a SYN-ACK?
    pub(super) fn is_answered(&self, client: Client) -> bool {
        self.answers.contains_key(&client.address())
    }

    /// Waits until each of them got its SYN-ACK.
    pub(super) fn await_syn_acks(&mut self, clients: &[Client]) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while let Some(client) = clients.iter().find(|client| !self.is_answered(**client)) {
            let missing = client.address();
            ensure!(Instant::now() < end, "no SYN-ACK for {missing}");
            self.listen_for(QUIET)?;
        }
        Ok(())
    }

    /// Makes sure that none of them got a SYN-ACK.
    pub(super) fn ensure_no_syn_acks(&mut self, clients: &[Client]) -> Result<()> {
        self.take_in()?;
        for client in clients {
            let address = client.address();
            ensure!(!self.is_answered(*client), "{address} got a SYN-ACK instead of being refused");
        }
        Ok(())
    }

    /// The final ACK of a client.
    pub(super) fn last_ack(&self, client: Client) -> Result<Segment> {
        let theirs = self.answers.get(&client.address());
        let theirs = *theirs.context("an ACK before the SYN-ACK")?;
        Ok(self.ack_of(client, theirs.wrapping_add(1)))
    }

    /// An ACK after a client's SYN, with that acknowledgement number.
    pub(super) fn ack_of(&self, client: Client, number: u32) -> Segment {
        let seq = client.isn().wrapping_add(1);
        Segment { seq, ack: Some(number), ..self.from(client) }
    }

    /// Sends the final ACK of each.
    pub(super) fn ack(&mut self, clients: &[Client]) -> Result<()> {
        for client in clients {
            let ack = self.last_ack(*client)?;
            self.send(ack)?;
        }
        Ok(())
    }

    /// Accepts this many connections, which stay open until the program ends.
    pub(super) fn accept(&mut self, count: u16) -> Result<()> {
        for _ in 0..count {
            let (connection, _) = self.listener()?.accept().context("accept")?;
            self.accepted.push(connection);
        }
        Ok(())
    }

    /// Sends a reset from each, after its SYN.
    pub(super) fn reset(&mut self, clients: &[Client]) -> Result<()> {
        for client in clients {
            let seq = client.isn().wrapping_add(1);
            self.send(Segment { seq, rst: true, ..self.from(*client) })?;
        }
        Ok(())
    }

    /// Reports by ICMP for each that its SYN-ACK could not be delivered.
    pub(super) fn unreachable(&mut self, clients: &[Client]) -> Result<()> {
        for client in clients {
            let to_client = self.last_ack(*client)?;
            let theirs = to_client.ack.unwrap_or_default().wrapping_sub(1);
            let Segment { from, to, .. } = to_client;
            let lost = Segment { from: to, to: from, seq: theirs, syn: true, ..to_client };
            self.send_packet(&lost.unreachable()?)?;
        }
        Ok(())
    }

    /// Completes the whole handshake of this many new clients, one by one.
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

    /// Waits until the accept queues have this depth.
    pub(super) fn await_depth(&self, depth: u64) -> Result<()> {
        let what = format!("the accept queue to hold {depth}");
        wait_until(&what, LIMIT, || Ok(self.depth()? == depth))
    }

    /// Waits until the server has sent this many resets.
    pub(super) fn await_resets(&mut self, count: u64) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while self.resets < count {
            let seen = self.resets;
            ensure!(Instant::now() < end, "only {seen} of {count} resets arrived");
            self.listen_for(QUIET)?;
        }
        Ok(())
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, segment: Segment) -> Result<()> {
        self.send_packet(&segment.to_packet()?)
    }

    /// Sends a prepared packet.
    pub(super) fn send_packet(&mut self, packet: &[u8]) -> Result<()> {
        self.tun.send(packet)
    }

    /// Processes what the server sends, until it has sent nothing for a while.
    pub(super) fn take_in(&mut self) -> Result<()> {
        while self.listen_for(QUIET)? {}
        Ok(())
    }

    /// Processes what the server has sent, without waiting.
    pub(super) fn take_in_now(&mut self) -> Result<()> {
        while self.listen_for(Duration::ZERO)? {}
        Ok(())
    }

    fn from(&self, client: Client) -> Segment {
        Segment {
            from: client.address(),
            to: self.server,
            seq: client.isn(),
            ack: None,
            syn: false,
            rst: false,
            fin: false,
        }
    }

    /// Processes one packet from the server, if one arrives within `limit`.
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
