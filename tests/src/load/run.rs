//! A run from listen to truth, step by step. The order matters: counters are read before the
//! listener exists and after the clients are closed, and the final queue is read before anything is
//! closed.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::client::{self, Tally};
use super::client_nonblocking;
use super::hold::Hold;
use super::judge::{self, Accepted};
use super::listener::Listeners;
use super::options::{Connect, Options};
use super::server::Server;
use super::truth::{Peer, Truth};
use crate::counters::Counters;
use crate::delay::Delay;
use crate::sysctl::Sysctl;
use crate::{interface, socket};

/// A server that accepts nothing for this long, in addition to its own pauses, is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// The interval between two checks of the drain.
const STEP: Duration = Duration::from_millis(1);

/// Runs the load with these options.
///
/// # Errors
/// When it cannot be done; refused connections are not an error.
pub fn run(options: &Options) -> Result<Truth> {
    options.check()?;
    socket::raise_file_limit();
    let _distance = options.round_trip.map(Delay::of_loopback).transpose()?;
    let set = |value: u8| Sysctl::set("net.ipv4.tcp_syncookies", &value.to_string());
    let _cookies = options.syncookies.map(set).transpose()?;
    let before = Counters::read()?;
    let listeners = Listeners::open(options)?;
    let address = SocketAddr::new(options.connect_ip(), listeners.port);
    options.notice(&format!("listening on port {}", listeners.port));

    let asleep =
        options.accept_before_start.then(|| Server::start(options, &listeners)).transpose()?;
    if let Some(server) = &asleep {
        server.await_asleep()?;
    }
    options.handshake.meet()?;
    let server = match asleep {
        Some(server) => server,
        None => Server::start(options, &listeners)?,
    };

    let start = Instant::now();
    let hold = Hold::new(options);
    let mut clients = match options.connect {
        Connect::Blocking => {
            client::run_all(options, address, &hold, |o, a, p, h| Ok(client::run(o, a, p, h)))
        }
        Connect::Nonblocking => client::run_all(options, address, &hold, client_nonblocking::run),
    }?;
    drain(options, &listeners, &server, clients.counts.succeeded)?;
    let wall = start.elapsed();
    let accepts = server.stop()?;
    if options.cut_before_count {
        interface::set_down("lo")?;
        // ksoftirqd may still have packets that had arrived before.
        thread::sleep(options.settle);
    }
    let left_in_queue = listeners.depth()?;
    let granted = listeners.limit()?;
    clients.counts.reset_later = hold.finish();
    let kernel = Counters::read()?.change_since(&before);
    let port = listeners.port;
    drop(listeners);

    for (words, count) in &clients.errors {
        options.notice(&format!("{count} connects failed: {words}"));
    }
    Ok(Truth {
        port,
        backlog: options.backlog,
        granted,
        left_in_queue,
        kernel,
        wall_seconds: wall.as_secs_f64(),
        ..account(options, &clients, &accepts)
    })
}

/// Waits until the server has accepted everything that it will.
fn drain(options: &Options, listeners: &Listeners, server: &Server, expected: u64) -> Result<()> {
    // If all known connections were accepted, the queue is done when it is empty. If some are
    // missing (because their final ACK was lost), it is done after this long without an accept.
    let settle = options.settle;
    // With --no-accept, everything that arrived is in the queue, so the truth knows exactly what
    // closing kills.
    if options.linger_close && !options.no_accept {
        return Ok(());
    }
    let patience = if options.no_accept || options.ends_after().is_some() {
        // Nothing changes, but the last final ACK may still arrive.
        settle
    } else {
        STUCK + options.accept_delay + options.stall.unwrap_or_default()
    };
    let mut seen = server.gate.accepted();
    let mut since = Instant::now();
    loop {
        let depth = listeners.depth()?;
        let accepted = server.gate.accepted();
        if accepted != seen {
            (seen, since) = (accepted, Instant::now());
        }
        let quiet = since.elapsed();
        if options.no_accept {
            if depth >= expected || quiet >= patience {
                return Ok(());
            }
        } else if depth == 0 && (accepted >= expected || quiet >= settle) {
            return Ok(());
        }
        if quiet >= patience {
            options.notice(&format!("gave up with {depth} in the queue: nobody accepts"));
            return Ok(());
        }
        thread::sleep(STEP);
    }
}

/// The part of the truth that is computed from timestamps.
fn account(options: &Options, clients: &Tally, accepts: &[Vec<Accepted>]) -> Truth {
    let all: Vec<Accepted> = accepts.iter().flatten().copied().collect();
    let waits = judge::waits(&clients.connected, &all);
    let unanswered = clients
        .unanswered
        .iter()
        .map(|client| Peer { addr: client.ip().to_string(), port: client.port() });
    Truth {
        connects: clients.counts,
        accepted: all.len() as u64,
        accepts_by_thread: accepts.iter().map(|taken| taken.len() as u64).collect(),
        waits_us: judge::summary(&waits),
        max_queue: judge::longest_queue(&clients.connected, &all),
        unanswered: options.each_wait.then(|| unanswered.collect()),
        waits: options.each_wait.then_some(waits),
        ..Truth::default()
    }
}
