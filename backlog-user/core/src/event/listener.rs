//! Listeners: the properties of one, and the events that change them.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Netns;
use crate::owner::Owner;

/// The tool's id of a listener: one socket in LISTEN, from the time when it is first seen to its
/// close.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ListenerId(pub u32);

/// The identity of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its id.
    pub id: ListenerId,
    /// Its local address.
    pub local: SocketAddr,
    /// It is an IPv6 socket that accepts no IPv4.
    pub v6_only: bool,
    /// Its network namespace.
    pub netns: Netns,
    /// The inode number of its socket, if it has one.
    pub inode: Option<u64>,
    /// Its socket cookie, if it was ever requested from the kernel.
    pub cookie: Option<u64>,
    /// The granted backlog.
    pub limit: u32,
    /// The depth of its queue when it was found.
    pub depth: u32,
    /// `SO_REUSEPORT`; none if the source does not have it.
    pub reuseport: Option<bool>,
    /// It was opened during the run: nothing was missed before.
    pub opened_now: bool,
    /// Its `sk_drops` when it was found, if the source has it.
    pub sk_drops: Option<u32>,
    /// The last listen call on it, if it was seen.
    pub call: Option<Call>,
    /// The id of its socket's cgroup, if the source has it.
    pub cgroup: Option<u64>,
    /// Properties that the programs do not know; enrichers find them.
    pub identity: Identity,
}

impl Listener {
    /// `ipv4` or `ipv6`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        if self.local.is_ipv4() { "ipv4" } else { "ipv6" }
    }

    /// Its main process: one of its holders, or the caller of `listen()`.
    #[must_use]
    pub fn process(&self) -> Option<Caller> {
        if let Some(owner) = &self.identity.owner {
            return Some(Caller { pid: owner.main.pid, comm: owner.main.comm.clone() });
        }
        self.call.as_ref()?.caller.clone()
    }

    /// Whether less was granted than requested; none: the requested backlog is unknown.
    #[must_use]
    pub fn is_cut(&self) -> Option<bool> {
        let call = self.call.as_ref()?;
        call.asked.map(|_| call.is_cut(self.limit))
    }
}

/// The owner of a listener, and the names of its cgroup and namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The holders of its socket; none: unknown, or no process holds it any more.
    pub owner: Option<Box<Owner>>,
    /// The path of its socket's cgroup.
    pub cgroup: Option<String>,
    /// The name of its network namespace.
    pub netns: Option<String>,
}

/// A listen call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The requested backlog; none: it is not visible for this kind of call.
    pub asked: Option<i32>,
    /// `net.core.somaxconn` of the namespace at that moment.
    pub somaxconn: Option<u32>,
    /// The caller.
    pub caller: Option<Caller>,
}

impl Call {
    /// Whether less was granted than requested. (The kernel treats a negative backlog as unsigned.)
    #[must_use]
    pub fn is_cut(&self, granted: u32) -> bool {
        self.asked.is_some_and(|asked| asked.cast_unsigned() > granted)
    }
}

/// A process as the kernel names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The pid.
    pub pid: u32,
    /// The name of the thread.
    pub comm: String,
}

impl fmt::Display for Caller {
    /// `nginx[812]`, with the name not escaped.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}[{}]", self.comm, self.pid)
    }
}

/// The end of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The listener.
    pub listener: ListenerId,
    /// Connections that were still queued.
    pub depth: u32,
    /// Requests that were still in the SYN queue.
    pub syn_queue: u32,
}

/// Another listen call, or another limit of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The listener.
    pub listener: ListenerId,
    /// The new limit.
    pub now: u32,
    /// The old limit.
    pub was: u32,
    /// The depth of the queue.
    pub depth: u32,
    /// The call, if it was seen.
    pub call: Option<Call>,
    /// It is the call that opened the listener, reported late: a packet had found the listener
    /// before the call finished.
    #[serde(default)]
    pub opens: bool,
}
