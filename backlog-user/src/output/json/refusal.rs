//! The line of a drop. A flood has many of these, so nothing is collected before it is written.

use std::net::{IpAddr, SocketAddr};

use backlog_core::clock::Clock;
use backlog_core::model::Refusal;
use backlog_ebpf::cause::Cause;
use serde::Serialize;

use super::values::{At, Id, Named, Time};

/// `drop`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DropLine {
    #[serde(flatten)]
    at: At,
    /// The `id` of the listener.
    listener: Id,
    /// Why it was refused.
    cause: Named<Cause>,
    /// Where the packet came from.
    client: Client,
    /// The client's initial sequence number: with its address and port it names the attempt.
    isn: u32,
    /// Connections in the accept queue at that moment.
    depth: u32,
    /// The limit at that moment.
    limit: u32,
    /// Requests in the SYN queue at that moment.
    syn_queue: u32,
    /// The CPU that handled the packet.
    cpu: u32,
    /// When the first drop of this attempt was. Null: this is the first, unless `retry` is true.
    retry_of: Option<Time>,
    /// True: a retry whose first drop is not known, since it has no line. Else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
}

/// The address of a client.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Client {
    /// Its address.
    addr: IpAddr,
    /// Its port.
    port: u16,
}

impl From<SocketAddr> for Client {
    fn from(client: SocketAddr) -> Self {
        Self { addr: client.ip(), port: client.port() }
    }
}

impl DropLine {
    /// The line of this drop.
    pub(super) fn of(clock: &Clock, refusal: &Refusal) -> Self {
        let Refusal { time_ns, drop, retry_of_ns, first: _, episode: _ } = refusal;
        Self {
            at: At::of(clock, *time_ns),
            listener: drop.listener.into(),
            cause: Named(drop.cause),
            client: drop.client.into(),
            isn: drop.isn,
            depth: drop.depth,
            limit: drop.limit,
            syn_queue: drop.syn_queue,
            cpu: drop.cpu,
            retry_of: retry_of_ns.map(|first_ns| Time::of(clock, first_ns)),
            retry: (drop.retry && retry_of_ns.is_none()).then_some(true),
        }
    }
}
