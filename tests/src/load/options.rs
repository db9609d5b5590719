//! The command line of `backlog-load`, and which options exclude each other. Names and defaults are
//! stable, since tests, docs and benchmarks use them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::clock::parse_time;
use crate::handshake::Handshake;
use crate::{narrow, uring};

/// A TCP server with a chosen backlog, and clients at a chosen rate, on
/// loopback. Prints its own truth as one JSON object at the end.
///
/// Times take a unit: 500us, 8ms, 2s. Exit status: 0, or 2 when it could not
/// do what was asked; refused connections are part of the truth, no error.
#[derive(Clone, Debug, Parser)]
#[command(name = "backlog-load", version)]
#[expect(clippy::struct_excessive_bools, reason = "a command line is mostly flags")]
pub struct Options {
    /// Port to listen on; 0 for any free port, which the truth names
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Listener")]
    pub port: u16,
    /// Backlog to pass to listen(2)
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Listener")]
    pub backlog: i32,
    /// Call listen(2) again with this backlog once half of --count is accepted
    #[arg(
        long,
        value_name = "N",
        requires = "count",
        conflicts_with_all = ["no_accept", "reuseport"],
        help_heading = "Listener"
    )]
    pub relisten: Option<i32>,
    /// Listen on the loopback address, or on the IPv6 wildcard for both
    #[arg(long, value_enum, default_value_t = Family::V4, help_heading = "Listener")]
    pub family: Family,
    /// Listen with MPTCP
    #[arg(long, help_heading = "Listener")]
    pub mptcp: bool,
    /// One listener for each thread, all in one `SO_REUSEPORT` group
    #[arg(long, help_heading = "Listener")]
    pub reuseport: bool,
    /// `TCP_DEFER_ACCEPT`: clients send a byte, and queue only then
    #[arg(long, value_enum, default_value_t = Switch::No, help_heading = "Listener")]
    pub defer_accept: Switch,
    /// TCP Fast Open on both sides, with one byte in the SYN (see also
    /// the setting `net.ipv4.tcp_fastopen`: 0x207 needs no cookie)
    #[arg(long, help_heading = "Listener")]
    pub fastopen: bool,

    /// How a thread waits for a connection
    #[arg(long, value_enum, default_value_t = Accept::Blocking, help_heading = "Server")]
    pub accept: Accept,
    /// Threads that accept
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Server")]
    pub threads: usize,
    /// Use processes instead of threads as workers, forked before the clients connect
    #[arg(
        long,
        conflicts_with_all = [
            "accept", "stall", "stall_every", "delay_seed", "stop_after", "exhaust_after",
            "relisten",
        ],
        help_heading = "Server"
    )]
    pub prefork: bool,
    /// Pause of each thread after each accept, to simulate work
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_time, help_heading = "Server")]
    pub accept_delay: Duration,
    /// Accept nothing until this long after the first connection is queued
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Server")]
    pub stall: Option<Duration>,
    /// Stop accepting repeatedly: at each multiple of this time, for --stall-for
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "stall_for", help_heading = "Server")]
    pub stall_every: Option<Duration>,
    /// How long each of these stops lasts
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "stall_every", help_heading = "Server")]
    pub stall_for: Option<Duration>,
    /// Accept this many first; the stall is measured from the next one
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "stall",
        help_heading = "Server"
    )]
    pub stall_after: u64,
    /// Stop only this thread, counted from 0
    #[arg(long, value_name = "N", requires = "stall_every", help_heading = "Server")]
    pub stall_thread: Option<usize>,
    /// Make the pause of --accept-delay vary: exponentially, with that mean and this seed
    #[arg(long, value_name = "SEED", help_heading = "Server")]
    pub delay_seed: Option<u64>,
    /// Accept this many, then never again
    #[arg(long, value_name = "N", conflicts_with_all = ["stall", "no_accept"], help_heading = "Server")]
    pub stop_after: Option<u64>,
    /// Accept this many, then have no file descriptor left: accept(2) fails with EMFILE
    #[arg(
        long,
        value_name = "N",
        conflicts_with_all = ["stall", "no_accept", "stop_after"],
        help_heading = "Server"
    )]
    pub exhaust_after: Option<u64>,
    /// Never accept
    #[arg(long, conflicts_with_all = ["stall", "accept_before_start"], help_heading = "Server")]
    pub no_accept: bool,
    /// Be ready only once each thread sleeps in its accept (or poll); otherwise threads start with
    /// the clients
    #[arg(long, help_heading = "Server")]
    pub accept_before_start: bool,
    /// At the end close the listener without accepting what is queued
    #[arg(long, help_heading = "Server")]
    pub linger_close: bool,

    /// Connects in all (100 without --duration)
    #[arg(long, value_name = "N", help_heading = "Clients")]
    pub count: Option<u64>,
    /// Begin connects for this time
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Clients")]
    pub duration: Option<Duration>,
    /// Connects begun per second; 0 is as fast as possible
    #[arg(long, value_name = "N", default_value_t = 0.0, help_heading = "Clients")]
    pub rate: f64,
    /// Begin this many connects together, at the same overall rate
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Clients")]
    pub burst: u64,
    /// Begin connects at random, by a Poisson process with this seed
    #[arg(long, value_name = "SEED", conflicts_with = "burst", help_heading = "Clients")]
    pub poisson: Option<u64>,
    /// Client threads at once
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Clients")]
    pub clients: usize,
    /// Wait for each connect, or begin them all without waiting
    #[arg(long, value_enum, default_value_t = Connect::Blocking, help_heading = "Clients")]
    pub connect: Connect,
    /// Give up a connect after this time
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time, help_heading = "Clients")]
    pub connect_timeout: Duration,
    /// Keep a connection this long before closing it
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_time, help_heading = "Clients")]
    pub hold: Duration,
    /// Keep all connections until the server is done
    #[arg(long, conflicts_with = "hold", help_heading = "Clients")]
    pub hold_to_end: bool,
    /// Put clients this far away: the time of a round trip over loopback (`sch_netem`)
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Clients")]
    pub round_trip: Option<Duration>,
    /// Set `net.ipv4.tcp_syncookies` for the run
    #[arg(long, value_name = "0|1|2", help_heading = "Listener")]
    pub syncookies: Option<u8>,
    /// Connect by IPv4 or IPv6 (default: as the listener; dual: IPv4)
    #[arg(long, value_enum, help_heading = "Clients")]
    pub client_family: Option<IpVersion>,
    /// Connect with MPTCP
    #[arg(long, help_heading = "Clients")]
    pub mptcp_client: bool,

    /// When to start, and how to tell that the server listens.
    #[command(flatten)]
    pub handshake: Handshake,
    /// Write the truth to this file, not to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Wait this long for a connection that is still missing and may arrive
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_time)]
    pub settle: Duration,
    /// Take loopback down before the count, so that nothing arrives between the count and the
    /// close (only in a network namespace of its own)
    #[arg(long)]
    pub cut_before_count: bool,
    /// List each wait, and each client without an answer
    #[arg(long)]
    pub each_wait: bool,
    /// No notices on stderr
    #[arg(short, long)]
    pub quiet: bool,
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4 only
    V4,
    /// IPv6 only
    V6,
    /// The IPv6 wildcard, reached by IPv4 too
    Dual,
}

/// Addresses to connect by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IpVersion {
    /// 127.0.0.1
    V4,
    /// The IPv6 loopback address
    V6,
}

/// How a server thread waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accept {
    /// Asleep in accept(2)
    Blocking,
    /// In poll(2), then accept until there is none left
    Nonblocking,
    /// In `epoll_wait(2)`, exclusively, then one accept
    Epoll,
    /// In `io_uring_enter(2)`, with a request for each connection
    Uring,
    /// The same with one request for all of them (5.19)
    UringMultishot,
    /// The same with a request for each that a thread of the kernel's pool does
    UringPool,
    /// As `blocking`, by a 32-bit program's accept4(2)
    Narrow,
    /// As `blocking`, by a 32-bit program's `socketcall(2)`
    NarrowSocketcall,
}

impl Accept {
    /// The way of 32-bit calls, if it is one.
    pub(crate) fn narrow(self) -> Option<narrow::Way> {
        match self {
            Self::Narrow => Some(narrow::Way::Direct),
            Self::NarrowSocketcall => Some(narrow::Way::Socketcall),
            _ => None,
        }
    }

    /// The way of `io_uring` requests, if it is one.
    pub(crate) fn uring(self) -> Option<uring::Way> {
        match self {
            Self::Uring => Some(uring::Way::Single),
            Self::UringMultishot => Some(uring::Way::Multishot),
            Self::UringPool => Some(uring::Way::Pool),
            _ => None,
        }
    }

    /// Does the thread sleep in the accept itself?
    pub(crate) fn blocks(self) -> bool {
        !matches!(self, Self::Nonblocking | Self::Epoll)
    }
}

/// How a client waits for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Connect {
    /// Asleep in connect(2)
    Blocking,
    /// Many at once
    Nonblocking,
}

/// An option with a value instead of a plain flag, because users write `no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Leave it off.
    No,
    /// Turn it on.
    Yes,
}

impl Options {
    /// Rejects combinations that are impossible.
    ///
    /// # Errors
    /// With a text that names both options.
    pub fn check(&self) -> Result<()> {
        ensure!(self.threads > 0, "--threads must be at least 1");
        ensure!(self.clients > 0, "--clients must be at least 1");
        ensure!(self.rate.is_finite() && self.rate >= 0.0, "--rate must be 0 or more");
        let fits = match self.family {
            Family::V4 => self.client_family != Some(IpVersion::V6),
            Family::V6 => self.client_family != Some(IpVersion::V4),
            Family::Dual => true,
        };
        ensure!(fits, "--client-family cannot reach a listener of this --family");
        let asleep = !self.accept_before_start
            || self.stall.is_none()
            || self.stall_after >= u64::try_from(self.threads).unwrap_or(u64::MAX);
        ensure!(
            asleep,
            "--accept-before-start with --stall needs --stall-after of at least --threads: \
             a stalled thread is not asleep in accept"
        );
        Ok(())
    }

    /// The number of connects; None means until the duration is over.
    pub(crate) fn limit(&self) -> Option<u64> {
        match (self.count, self.duration) {
            (None, None) => Some(100),
            (count, _) => count,
        }
    }

    /// The number of accepts before listening again, and the new backlog.
    pub(crate) fn second_listen(&self) -> Option<(u64, i32)> {
        let half = self.count.unwrap_or(0) / 2;
        self.relisten.map(|backlog| (half.max(1), backlog))
    }

    /// The address to listen on.
    pub(crate) fn listen_ip(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
            Family::Dual => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The address that clients connect to.
    pub(crate) fn connect_ip(&self) -> IpAddr {
        match (self.client_family, self.family) {
            (Some(IpVersion::V6), _) | (None, Family::V6) => Ipv6Addr::LOCALHOST.into(),
            (Some(IpVersion::V4), _) | (None, Family::V4 | Family::Dual) => {
                Ipv4Addr::LOCALHOST.into()
            }
        }
    }

    /// The number of accepts after which the server accepts nothing more.
    pub(crate) fn ends_after(&self) -> Option<u64> {
        self.stop_after.or(self.exhaust_after)
    }

    /// Does a client send a byte, with the SYN or after the connect?
    pub(crate) fn sends_byte(&self) -> bool {
        self.fastopen || self.defer_accept == Switch::Yes
    }

    /// Prints a message to the user.
    pub(crate) fn notice(&self, words: &str) {
        if !self.quiet {
            eprintln!("backlog-load: {words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let options = Options::try_parse_from(line.split(' '))?;
        options.check()?;
        Ok(options)
    }

    #[test]
    fn a_dual_listener_is_reached_by_ipv4() {
        let options = parse("load --family dual --stall 300ms").unwrap();
        assert_eq!(options.connect_ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(options.stall, Some(Duration::from_millis(300)));
        assert_eq!(options.limit(), Some(100));
    }

    #[test]
    fn a_second_listen_comes_after_half_of_the_clients() {
        assert_eq!(parse("load").unwrap().second_listen(), None);
        let options = parse("load --relisten 8 --count 9").unwrap();
        assert_eq!(options.second_listen(), Some((4, 8)));
    }

    #[test]
    fn wishes_that_exclude_each_other_are_refused() {
        assert!(parse("load --family v4 --client-family v6").is_err());
        assert!(parse("load --stall 1s --accept-before-start").is_err());
        assert!(parse("load --no-accept --stall 1s").is_err());
        assert!(parse("load --stall-after 3").is_err());
        assert!(parse("load --relisten 8").is_err());
        assert!(parse("load --relisten 8 --count 9 --no-accept").is_err());
    }
}
