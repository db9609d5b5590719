//! What a user of `backlog-packets` may ask for.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::handshake::Handshake;
use crate::load::Family;

/// Provokes one kind of accept queue overflow with crafted packets through a
/// tun device, exactly, and prints the truth as one JSON object.
///
/// Works in a network namespace of its own unless told otherwise. Exit status:
/// 0, 1 when the kernel's counters do not agree with the packets, 2 when it
/// could not be done.
#[derive(Clone, Debug, Parser)]
#[command(name = "backlog-packets", version)]
pub struct Options {
    /// What to provoke
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// Port to listen on; 0 takes any, and the truth says which
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Backlog asked for in listen(2); 3 to 100
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub backlog: u16,
    /// Listen on IPv4, on IPv6, or on the IPv6 wildcard with IPv4 packets
    #[arg(long, value_enum, default_value_t = Family::V4)]
    pub family: Family,
    /// Clients to be refused (syn-overflow, up to 20000; cookie-overflow, up
    /// to 100; the others refuse backlog - 2)
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub count: u16,
    /// Send each refused packet again so often, unchanged
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u16,
    /// Work in the current network namespace, changing its sysctls meanwhile
    #[arg(long)]
    pub current_netns: bool,
    /// When to start, and how to tell that the server listens.
    #[command(flatten)]
    pub handshake: Handshake,
    /// Write the truth to this file, not to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The kinds of overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// SYNs that find the accept queue full
    SynOverflow,
    /// Final ACKs of half-open requests that find it full
    AckOverflow,
    /// ACKs of SYN cookies that find it full
    CookieOverflow,
    /// As ack-overflow, with `tcp_abort_on_overflow`: answered by resets
    AbortOnOverflow,
}

impl Scenario {
    /// The cause's name in the tool's output.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::SynOverflow => "accept_queue_full_syn",
            Self::AckOverflow => "accept_queue_full_ack",
            Self::CookieOverflow => "accept_queue_full_cookie",
            Self::AbortOnOverflow => "accept_queue_full_reset",
        }
    }
}

impl Options {
    /// Refuses what would not be exact.
    ///
    /// # Errors
    /// With words that say what the limits are.
    pub fn check(&self) -> Result<()> {
        ensure!((3..=100).contains(&self.backlog), "--backlog must be 3 to 100");
        let most = match self.scenario {
            Scenario::SynOverflow => 20_000,
            // Each gets a SYN-ACK, and the device holds no more than 500.
            Scenario::CookieOverflow | Scenario::AckOverflow | Scenario::AbortOnOverflow => 100,
        };
        ensure!((1..=most).contains(&self.count), "--count must be 1 to {most}");
        ensure!(
            self.retries == 0 || self.scenario != Scenario::AbortOnOverflow,
            "--retries makes no sense for abort-on-overflow: the first reset removes the request"
        );
        Ok(())
    }
}
