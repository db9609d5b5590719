//! The line of a drop. A flood has many of them: the line is written from where its values
//! are, without a map of them in between.

use std::net::IpAddr;

use backlog_core::clock::Clock;
use backlog_core::event::ListenerId;
use backlog_core::model::Refusal;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The fields, in their order.
#[derive(Serialize)]
pub(super) struct DropLine {
    r#type: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: Timestamp,
    mono_ns: u64,
    listener: ListenerId,
    cause: &'static str,
    client: Client,
    isn: u32,
    depth: u32,
    limit: u32,
    syn_queue: u32,
    cpu: u32,
    retry_of: Option<RetryOf>,
}

#[derive(Serialize)]
struct Client {
    addr: IpAddr,
    port: u16,
}

#[derive(Serialize)]
#[serde(transparent)]
struct RetryOf(#[serde(serialize_with = "rfc3339")] Timestamp);

impl DropLine {
    pub(super) fn of(clock: &Clock, refusal: &Refusal) -> Self {
        let Refusal { time_ns, drop, retry_of_ns, first: _, episode: _ } = refusal;
        Self {
            r#type: "drop",
            time: clock.wall(*time_ns),
            mono_ns: *time_ns,
            listener: drop.listener,
            cause: drop.cause.name(),
            client: Client { addr: drop.client.ip(), port: drop.client.port() },
            isn: drop.isn,
            depth: drop.depth,
            limit: drop.limit,
            syn_queue: drop.syn_queue,
            cpu: drop.cpu,
            retry_of: retry_of_ns.map(|first_ns| RetryOf(clock.wall(first_ns))),
        }
    }
}

/// UTC, nanoseconds.
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.9}"))
}
