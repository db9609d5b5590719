//! The listeners of a scenario: the sockets and their options, and whether this kernel supports
//! them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::client::{NET_V4, NET_V6};
use super::options::Options;
use super::scenario::Scenario;
use crate::counters::Counters;
use crate::load::Family;
use crate::{cpus, socket};

/// The number of Fast Open requests that may be half open; the next one falls back.
const FASTOPEN_QUEUE: libc::c_int = 1;
/// Longer than any scenario, in seconds.
const DEFER: libc::c_int = 60;

/// Why this kernel cannot run the scenario, if it cannot.
pub(super) fn absent(scenario: Scenario) -> Result<Option<String>> {
    let why = match scenario {
        Scenario::JoinRefused => match Socket::new(Domain::IPV4, Type::STREAM, MPTCP) {
            Ok(_) => None,
            Err(error) => Some(format!("no MPTCP in this kernel: {error}")),
        },
        // The sysctl alone does not show it: Debian's 5.10.262 has it without effect.
        Scenario::Migrated if !Counters::read()?.has("TCPMigrateReqSuccess") => {
            Some("this kernel moves no connections: that came with 5.14".to_owned())
        }
        Scenario::ListenerLeft if cpus::allowed()?.len() < 2 => {
            Some("a race of two CPUs, and there is one".to_owned())
        }
        _ => None,
    };
    Ok(why)
}

/// Opens the listeners that the scenario needs. Also returns the address for clients.
pub(super) fn listen(options: &Options) -> Result<(Vec<Socket>, SocketAddr)> {
    let (bind, reach): (IpAddr, IpAddr) = match options.family {
        Family::V4 => (NET_V4.0.into(), NET_V4.0.into()),
        Family::V6 => (NET_V6.0.into(), NET_V6.0.into()),
        Family::Dual => (Ipv6Addr::UNSPECIFIED.into(), NET_V4.0.into()),
    };
    let port = match options.port {
        0 => free_port(bind).with_context(|| format!("bind to {bind}"))?,
        given => given,
    };
    let address = SocketAddr::new(bind, port);
    let sockets = (0..count(options.scenario))
        .map(|_| listener(options, address))
        .collect::<io::Result<Vec<Socket>>>()
        .with_context(|| format!("listen on {address}"))?;
    for listener in &sockets {
        let granted = socket::queue(listener)?.limit;
        ensure!(
            granted == u32::from(options.backlog()),
            "the kernel granted a backlog of {granted} only: raise net.core.somaxconn"
        );
    }
    Ok((sockets, SocketAddr::new(reach, port)))
}

/// The number of listeners that the scenario needs.
fn count(scenario: Scenario) -> usize {
    if scenario == Scenario::Migrated { 2 } else { 1 }
}

/// `Protocol::MPTCP` of socket2 as an option.
const MPTCP: Option<Protocol> = Some(Protocol::MPTCP);

/// A port that the kernel chooses. It is then bound by number, so that it stays with the socket
/// when that stops listening, and two sockets can share it.
fn free_port(bind: IpAddr) -> Result<u16> {
    let address = SocketAddr::new(bind, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.local_addr()?.as_socket().context("no port")?.port())
}

fn listener(options: &Options, address: SocketAddr) -> io::Result<Socket> {
    let protocol = match options.scenario {
        Scenario::JoinRefused => MPTCP,
        _ => Some(Protocol::TCP),
    };
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, protocol)?;
    listener.set_reuse_address(true)?;
    if count(options.scenario) > 1 {
        listener.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        listener.set_only_v6(options.family == Family::V6)?;
    }
    match options.scenario {
        Scenario::FastopenFull => {
            socket::set_tcp_option(&listener, libc::TCP_FASTOPEN, FASTOPEN_QUEUE)?;
        }
        Scenario::Harmless => {
            socket::set_tcp_option(&listener, libc::TCP_DEFER_ACCEPT, DEFER)?;
        }
        _ => {}
    }
    listener.bind(&SockAddr::from(address))?;
    listener.listen(options.backlog().into())?;
    Ok(listener)
}
