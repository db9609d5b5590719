//! Refused packets, and the further events of their clients.

use std::net::SocketAddr;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::record;
use serde::{Deserialize, Serialize};

use super::{ListenerId, form};

/// A packet that a listener refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropEvent {
    /// Its listener.
    pub listener: ListenerId,
    /// The cause.
    #[serde(with = "form::cause")]
    pub cause: Cause,
    /// The sender.
    pub client: SocketAddr,
    /// The client's initial sequence number: retries carry the same.
    pub isn: u32,
    /// The depth of the accept queue at that moment.
    pub depth: u32,
    /// The limit at that moment.
    pub limit: u32,
    /// The length of the SYN queue at that moment.
    pub syn_queue: u32,
    /// The CPU that refused it.
    pub cpu: u32,
    /// The smallest depth that arrivals have found since the previous drop or [`Admitted`], if
    /// there were any; otherwise [`NO_TROUGH`](backlog_ebpf::distribution::NO_TROUGH).
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// Cumulative idle time of the acceptor until then; only differences are meaningful.
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// Time of the last accept; zero: none.
    #[serde(default)]
    pub accepted_ns: u64,
    /// The kernel's counts at this event; none in earlier recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// The packet carries a FIN: the client has closed its end.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub fin: bool,
    /// The attempt was in the kernel's table: it was refused before. Never set in earlier
    /// recordings.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub retry: bool,
}

#[cfg(any(test, feature = "fixtures"))]
impl DropEvent {
    /// A SYN that a full queue of 16 refused, for tests.
    #[must_use]
    pub fn made_up(client: SocketAddr, isn: u32) -> Self {
        Self {
            listener: ListenerId(1),
            cause: Cause::AcceptQueueFullSyn,
            client,
            isn,
            depth: 17,
            limit: 16,
            syn_queue: 0,
            cpu: 0,
            trough: 0,
            free_ns: 0,
            accepted_ns: 0,
            so_far: None,
            fin: false,
            retry: false,
        }
    }
}

/// The kernel's counts for a listener at an event; only differences are meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// Accepts of connections that were already waiting at the previous accept.
    pub paced: u32,
    /// The pauses before them, without stalls.
    pub paced_ns: u64,
    /// The stalls, nanoseconds.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub stalled_ns: u64,
    /// The approximate number of connections that were queued.
    pub arrived: u32,
    /// Time of the last arrival that found the queue empty; zero: unknown.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub filled_ns: u64,
    /// Drops without a record that the CPU of this drop had counted.
    #[serde(rename = "unrecorded", default, skip_serializing_if = "form::is_zero")]
    pub records_suppressed: u32,
    /// How many of these were the first drop of their client.
    #[serde(rename = "unrecorded_clients", default, skip_serializing_if = "form::is_zero")]
    pub suppressed_clients: u32,
    /// How many of these were retries.
    #[serde(rename = "unrecorded_retries", default, skip_serializing_if = "form::is_zero")]
    pub suppressed_retries: u32,
}

/// A client that had been refused has been queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The listener.
    pub listener: ListenerId,
    /// The client.
    pub client: SocketAddr,
    /// The client's initial sequence number, that of the refused attempt.
    pub isn: u32,
    /// The depth of the accept queue, this connection included.
    pub depth: u32,
    /// As in [`DropEvent`].
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// As in [`DropEvent`].
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// As in [`DropEvent`]; the record has only the pace and the arrivals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// A [`Dequeued`] event says how it leaves the queue. Earlier recordings do not have that
    /// event.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub followed: bool,
}

/// A connection whose client had been refused before has left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dequeued {
    /// The listener.
    pub listener: ListenerId,
    /// The client.
    pub client: SocketAddr,
    /// The client's initial sequence number, as in [`Admitted`].
    pub isn: u32,
    /// How it left.
    pub leaving: Leaving,
}

/// How a connection leaves the accept queue: [`record::Leaving`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// It was accepted. Its client was connected and had sent nothing.
    Accepted,
    /// It was accepted. Its client was connected and had sent data.
    AcceptedWithData,
    /// Its client had closed its end without sending data.
    Fin,
    /// Its client had sent data and closed its end.
    FinAfterData,
    /// Its client had reset it.
    Reset,
    /// Its listener closed.
    Killed,
    /// No program saw its accept.
    Unseen,
}

impl From<record::Leaving> for Leaving {
    fn from(wire: record::Leaving) -> Self {
        match wire {
            record::Leaving::Accepted => Self::Accepted,
            record::Leaving::AcceptedWithData => Self::AcceptedWithData,
            record::Leaving::Fin => Self::Fin,
            record::Leaving::FinAfterData => Self::FinAfterData,
            record::Leaving::Reset => Self::Reset,
            record::Leaving::Killed => Self::Killed,
            record::Leaving::Unseen => Self::Unseen,
        }
    }
}
