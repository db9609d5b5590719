//! The listening sockets, with the selected options: a single one, or a group.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use libc::c_int;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::options::{Accept, Options, Switch};
use crate::{narrow, socket};

/// How long `TCP_DEFER_ACCEPT` waits for data, in seconds.
const DEFER_SECONDS: c_int = 5;

/// All sockets that listen on the port.
#[derive(Clone, Debug)]
pub(super) struct Listeners {
    /// One, or one for each thread.
    sockets: Vec<Arc<Socket>>,
    /// The port, even if it was chosen by the kernel.
    pub(super) port: u16,
}

impl Listeners {
    /// Opens them all.
    pub(super) fn open(options: &Options) -> Result<Self> {
        let count = if options.reuseport { options.threads } else { 1 };
        let mut port = options.port;
        let mut sockets = Vec::new();
        for _ in 0..count {
            let address = SocketAddr::new(options.listen_ip(), port);
            let listener = listen(options, address)
                .with_context(|| format!("cannot listen on {address}{}", cure(options)))?;
            port = local(&listener)?.port();
            sockets.push(Arc::new(listener));
        }
        Ok(Self { sockets, port })
    }

    /// The listener that the given thread accepts from.
    pub(super) fn of_thread(&self, thread: usize) -> Arc<Socket> {
        Arc::clone(&self.sockets[thread % self.sockets.len()])
    }

    /// The number of connections in all the queues.
    pub(super) fn depth(&self) -> Result<u64> {
        self.sockets.iter().try_fold(0, |sum, listener| {
            let queue = socket::queue(listener).context("cannot read the queue's length")?;
            Ok(sum + u64::from(queue.depth))
        })
    }

    /// The granted backlog, which all of them share.
    pub(super) fn limit(&self) -> Result<u32> {
        let queue = socket::queue(&self.sockets[0]).context("cannot read the queue's limit")?;
        Ok(queue.limit)
    }

    /// Does any of them have a connection to accept?
    pub(super) fn readable(&self, limit: std::time::Duration) -> io::Result<bool> {
        // A single one can wait; in a group, each gets its share of the time.
        let share = limit / u32::try_from(self.sockets.len()).unwrap_or(1);
        for listener in &self.sockets {
            if socket::readable(listener, share)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Creates a listening socket.
fn listen(options: &Options, address: SocketAddr) -> io::Result<Socket> {
    let protocol = if options.mptcp { Protocol::MPTCP } else { Protocol::TCP };
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol))?;
    listener.set_reuse_address(true)?;
    if options.reuseport {
        listener.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        listener.set_only_v6(!address.ip().is_unspecified())?;
    }
    if options.defer_accept == Switch::Yes {
        socket::set_tcp_option(&listener, libc::TCP_DEFER_ACCEPT, DEFER_SECONDS)?;
    }
    if options.fastopen {
        // As many Fast Open requests as connections fit.
        let queue = options.backlog.saturating_add(1).max(1);
        socket::set_tcp_option(&listener, libc::TCP_FASTOPEN, queue)?;
    }
    listener.set_nonblocking(!options.accept.blocks())?;
    listener.bind(&SockAddr::from(address))?;
    call_listen(&listener, options.backlog, options.accept)?;
    Ok(listener)
}

/// Calls listen(2) in the way that the server uses.
pub(super) fn call_listen(listener: &Socket, backlog: c_int, how: Accept) -> io::Result<()> {
    match how.narrow() {
        Some(way) => narrow::listen(listener, backlog, way),
        None => listener.listen(backlog),
    }
}

/// A socket's own address.
pub(super) fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

fn cure(options: &Options) -> &'static str {
    if options.mptcp { " with MPTCP (has this kernel it, and is net.mptcp.enabled 1?)" } else { "" }
}
