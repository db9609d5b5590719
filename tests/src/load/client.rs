//! Clients that wait for each connect, and what all clients share: creating the socket, starting
//! the connect, and counting the results.

use std::collections::BTreeMap;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::hold::Hold;
use super::judge::Connected;
use super::listener::local;
use super::options::Options;
use super::pacer::Pacer;
use super::truth::Connects;
use crate::clock::mono_ns;

/// The byte that Fast Open and deferred accepts need.
const BYTE: &[u8] = b"x";

/// The results of one thread's clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Connects,
    pub(super) connected: Vec<Connected>,
    pub(super) unanswered: Vec<SocketAddr>,
    /// Other errors as text, with their number.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds the results of another thread.
    pub(super) fn add(&mut self, other: Self) {
        let Self { counts, connected, unanswered, errors } = other;
        let sum = &mut self.counts;
        sum.tried += counts.tried;
        sum.succeeded += counts.succeeded;
        sum.failed += counts.failed;
        sum.timed_out += counts.timed_out;
        sum.reset += counts.reset;
        sum.pending += counts.pending;
        sum.reset_later += counts.reset_later;
        self.connected.extend(connected);
        self.unanswered.extend(unanswered);
        for (words, count) in errors {
            *self.errors.entry(words).or_default() += count;
        }
    }

    /// Counts a successful connect.
    pub(super) fn succeeded(&mut self, connected: Connected) {
        self.counts.succeeded += 1;
        self.connected.push(connected);
    }

    /// Counts a connect without an answer.
    pub(super) fn timed_out(&mut self, local: Option<SocketAddr>) {
        self.counts.timed_out += 1;
        self.unanswered.extend(local);
    }

    /// Counts a connect that ended with an error.
    pub(super) fn failed(&mut self, error: &Error, local: Option<SocketAddr>) {
        match error.raw_os_error() {
            // A blocking connect that reaches SO_SNDTIMEO fails with "in progress".
            Some(libc::EINPROGRESS | libc::EAGAIN | libc::ETIMEDOUT) => self.timed_out(local),
            Some(libc::ECONNREFUSED | libc::ECONNRESET) => self.counts.reset += 1,
            _ => {
                self.counts.failed += 1;
                *self.errors.entry(error.to_string()).or_default() += 1;
            }
        }
    }
}

/// Runs one thread's blocking clients.
pub(super) fn run(options: &Options, server: SocketAddr, pacer: &Pacer, hold: &Hold) -> Tally {
    let mut tally = Tally::default();
    while let Some(due) = pacer.claim() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        tally.counts.tried += 1;
        let socket = match open(options, server) {
            Ok(socket) => socket,
            Err(error) => {
                tally.failed(&error, None);
                continue;
            }
        };
        let started_ns = mono_ns();
        let begun = socket
            .set_write_timeout(Some(options.connect_timeout))
            .and_then(|()| begin(options, &socket, server));
        let done_ns = mono_ns();
        let own = local(&socket);
        match (begun, own) {
            (Ok(()), Ok(local)) => {
                tally.succeeded(Connected { local, started_ns, done_ns });
                hold.keep(socket);
            }
            (Err(error), own) => tally.failed(&error, own.ok()),
            (Ok(()), Err(error)) => tally.failed(&error, None),
        }
    }
    tally
}

/// Creates a client's socket.
pub(super) fn open(options: &Options, server: SocketAddr) -> io::Result<Socket> {
    let protocol = if options.mptcp_client { Protocol::MPTCP } else { Protocol::TCP };
    Socket::new(Domain::for_address(server), Type::STREAM, Some(protocol))
}

/// Sends the SYN, with a byte in it for Fast Open. A blocking socket returns once it is answered. A
/// deferring server needs a byte after the handshake.
pub(super) fn begin(options: &Options, socket: &Socket, server: SocketAddr) -> io::Result<()> {
    let address = SockAddr::from(server);
    if options.fastopen {
        socket.send_to_with_flags(BYTE, &address, libc::MSG_FASTOPEN).map(drop)
    } else {
        socket.connect(&address)?;
        finish(options, socket)
    }
}

/// Does what is left to do after the handshake.
pub(super) fn finish(options: &Options, socket: &Socket) -> io::Result<()> {
    if options.sends_byte() && !options.fastopen {
        socket.send(BYTE)?;
    }
    Ok(())
}

/// Starts all client threads, waits for them, and adds up their results.
pub(super) fn run_all(
    options: &Options,
    server: SocketAddr,
    hold: &Hold,
    one: impl Fn(&Options, SocketAddr, &Pacer, &Hold) -> Result<Tally> + Sync,
) -> Result<Tally> {
    let pacer = Pacer::start(options);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.clients)
            .map(|_| scope.spawn(|| one(options, server, &pacer, hold)))
            .collect();
        let mut all = Tally::default();
        for thread in threads {
            let tally = thread.join().ok().context("a client thread panicked")?;
            all.add(tally?);
        }
        Ok(all)
    })
}
