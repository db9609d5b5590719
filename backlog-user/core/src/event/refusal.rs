//! Packets that were refused, and what became of their clients.

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
    /// Why.
    #[serde(with = "form::cause")]
    pub cause: Cause,
    /// Who sent it.
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
    /// The least depth that arrivals have found since the drop or [`Admitted`] before, if
    /// any came in between; else [`NO_TROUGH`](backlog_ebpf::distribution::NO_TROUGH).
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// Cumulative idle time of the acceptor until then; only differences are meaningful.
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// Time of the last accept; zero: none.
    #[serde(default)]
    pub accepted_ns: u64,
    /// None in earlier recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// The packet carries a FIN: the client has closed its end.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub fin: bool,
    /// The kernel's table had the attempt: it has been refused before. Earlier recordings do not
    /// have this.
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
    /// The stalls.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub stalled_ns: u64,
    /// Connections that were queued, about.
    pub arrived: u32,
    /// Time of the last arrival that found the queue empty; zero: unknown.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub filled_ns: u64,
    /// Drops without a record that the CPU of this one had counted.
    #[serde(rename = "unrecorded", default, skip_serializing_if = "form::is_zero")]
    pub records_suppressed: u32,
    /// Those of them that were the first of their client.
    #[serde(rename = "unrecorded_clients", default, skip_serializing_if = "form::is_zero")]
    pub suppressed_clients: u32,
    /// Those of them that were retries.
    #[serde(rename = "unrecorded_retries", default, skip_serializing_if = "form::is_zero")]
    pub suppressed_retries: u32,
}

/// A client that had been refused has been queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Where.
    pub listener: ListenerId,
    /// Who.
    pub client: SocketAddr,
    /// The client's initial sequence number: that of the attempts which were refused.
    pub isn: u32,
    /// The depth of the accept queue, itself included.
    pub depth: u32,
    /// As in [`Drop`].
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// As in [`Drop`].
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// As in [`Drop`]; of this the record knows the pace and the arrivals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// A [`Dequeued`] says how it leaves the queue. Recordings before that event have none.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub followed: bool,
}

/// A connection has left the queue whose client had been refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dequeued {
    /// Where.
    pub listener: ListenerId,
    /// Who.
    pub client: SocketAddr,
    /// The client's initial sequence number, as in [`Admitted`].
    pub isn: u32,
    /// How.
    pub leaving: Leaving,
}

/// How a connection leaves the accept queue: [`record::Leaving`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// Its client was there, and had sent nothing.
    Accepted,
    /// Its client was there, and had sent data.
    AcceptedWithData,
    /// Its client had ended it without a word.
    Fin,
    /// Its client had sent data and ended it.
    FinAfterData,
    /// Its client had reset it.
    Reset,
    /// Its listener closed.
    Killed,
    /// It was accepted in a way that no program saw.
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
