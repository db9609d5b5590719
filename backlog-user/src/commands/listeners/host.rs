//! What an audit knows about a host: its network namespaces and their listeners. Plain data:
//! `gather` fills it, `finding` evaluates it, the outputs print it.

use std::fmt;

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::{Counter, Values};
use backlog_core::event::{Listener, ListenerId};
use backlog_core::owner::Owner;
use backlog_core::settings::Settings;
use backlog_core::text::format;
use backlog_core::text::owner_text::safe;

use crate::host::kernel::slab::{Entry, Memory};

/// The host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Our own namespace first, the others by number. Namespaces without a listener to show are
    /// left out, except for one that was selected.
    pub(crate) spaces: Vec<Space>,
    /// Kernel memory of a queue entry.
    pub(crate) memory: Memory,
    /// What could not be inspected and why, in sentences.
    pub(crate) not_seen: Vec<String>,
    /// Only some listeners were selected.
    pub(crate) filtered: bool,
}

/// A network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    /// Its inode number.
    pub(crate) netns: u32,
    /// Its name, if `ip netns` has one.
    pub(crate) name: Option<String>,
    /// This process is in it.
    pub(crate) own: bool,
    pub(crate) settings: Settings,
    /// The kernel's counters since the namespace was created.
    pub(crate) counters: Option<Values>,
    /// Sorted by port and address.
    pub(crate) listeners: Vec<Audited>,
    /// The number of its other listeners, which were not selected.
    pub(crate) left_out: usize,
    /// Pending handshakes whose listener is unknown; None if their number is unknown.
    pub(crate) unassigned: Option<u32>,
}

/// The position among several sockets on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The number of sockets.
    pub(crate) size: usize,
    /// The position of this one, from 1.
    pub(crate) member: usize,
}

/// A listener: the data that the tracer has as well, and what only an audit looks up.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    /// The listener, numbered within its namespace.
    pub(crate) listener: Listener,
    /// It is an IPv6 socket, whichever clients it accepts.
    pub(crate) is_ipv6: bool,
    /// It is the TCP side of an MPTCP listener.
    pub(crate) mptcp: bool,
    /// The user that owns its socket.
    pub(crate) uid: u32,
    /// The name of the interface that it is bound to.
    pub(crate) interface: Option<String>,
    /// Length of its SYN queue; None if its entries cannot be distinguished from those of other
    /// listeners.
    pub(crate) syn_queue: Option<u32>,
    /// Its position among sockets on exactly the same address, which share it by `SO_REUSEPORT`.
    /// None: it is alone; whether others could join is unknown.
    pub(crate) group: Option<Member>,
    /// `TCP_DEFER_ACCEPT` is set. None: it was not looked up, or could not be.
    pub(crate) defer_accept: Option<bool>,
}

impl Space {
    /// The value of a kernel counter.
    pub(crate) fn counter(&self, counter: Counter) -> Option<u64> {
        self.counters.as_ref().and_then(|values| values[counter as usize])
    }

    /// How many pending handshakes make the last-quarter rule of the SYN queue refuse unknown
    /// clients. The rule only holds without cookies: a SYN of an unknown client is refused if
    /// `tcp_max_syn_backlog` - pending < `tcp_max_syn_backlog` >> 2. This is the smallest number of
    /// pending ones for which that is true.
    pub(crate) fn unknown_clients(&self) -> Option<u32> {
        let bound = self.settings.tcp_max_syn_backlog?;
        (self.settings.syncookies == Some(0)).then(|| (bound - (bound >> 2)).saturating_add(1))
    }

    /// Could all of this listener's `sk_drops` be bare ACKs that were deferred by
    /// `TCP_DEFER_ACCEPT`, if it is set there? The kernel counts them per namespace.
    pub(crate) fn may_be_deferred(&self, sk_drops: u32) -> bool {
        let deferred = self.counter(Counter::DeferAcceptDrop);
        deferred.is_some_and(|count| count > 0 && u64::from(sk_drops) <= count)
    }

    /// All of its listeners were selected.
    pub(crate) fn is_whole(&self) -> bool {
        self.left_out == 0
    }
}

impl fmt::Display for Space {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "network namespace {}", self.netns)?;
        match (&self.name, self.own) {
            (Some(name), true) => write!(out, " ({}, this one)", safe(name)),
            (Some(name), false) => write!(out, " ({})", safe(name)),
            (None, true) => write!(out, " (this one)"),
            (None, false) => Ok(()),
        }
    }
}

impl Audited {
    /// Converts the `number`th socket of a namespace's dump.
    pub(crate) fn of(listed: &SockDiagListener, number: u32) -> Self {
        Self {
            listener: listed.listener(ListenerId(number)),
            // The kernel reports `IPV6_V6ONLY` only for IPv6 sockets.
            is_ipv6: listed.v6_only.is_some(),
            mptcp: listed.mptcp,
            uid: listed.uid,
            interface: None,
            syn_queue: None,
            group: None,
            defer_accept: None,
        }
    }

    /// The inode number of its socket, which a dump always shows.
    pub(crate) fn inode(&self) -> u64 {
        self.listener.inode.unwrap_or_default()
    }

    /// The process that holds it.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.listener.identity.owner.as_deref()
    }

    /// Kernel memory of an entry of its queues.
    pub(crate) fn entry(&self, memory: &Memory) -> Option<Entry> {
        match (self.mptcp, self.is_ipv6) {
            (false, false) => memory.ipv4,
            (false, true) => memory.ipv6,
            (true, false) => memory.mptcp_ipv4,
            (true, true) => memory.mptcp_ipv6,
        }
    }

    /// The depth in percent of the limit, rounded up.
    pub(crate) fn use_percent(&self) -> u64 {
        format::percent(self.listener.depth, self.listener.limit)
    }

    /// The address as `ss` prints it: `0.0.0.0%eth0:80`.
    pub(crate) fn address(&self) -> String {
        let local = self.listener.local;
        // The creator of an interface may put anything into its name.
        match self.interface.as_deref().map(safe) {
            None => local.to_string(),
            Some(name) if local.is_ipv4() => format!("{}%{name}:{}", local.ip(), local.port()),
            Some(name) => format!("[{}]%{name}:{}", local.ip(), local.port()),
        }
    }
}
