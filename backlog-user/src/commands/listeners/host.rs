//! What an audit knows of a host: its network namespaces, and what listens in each. Plain
//! data: `gather` fills it, `finding` judges it, the views show it.

use std::fmt;

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::{Counter, Values};
use backlog_core::event::{Listener, ListenerId};
use backlog_core::owner::Owner;
use backlog_core::settings::Settings;
use backlog_core::text::format;
use backlog_core::text::owner_text::safe;

use crate::host::kernel::slab::{Entry, Memory};

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Our own first, the others by their number; without a listener to show only one that
    /// was asked for.
    pub(crate) spaces: Vec<Space>,
    /// What an entry of a queue takes.
    pub(crate) memory: Memory,
    /// What could not be inspected, and why, in sentences.
    pub(crate) not_seen: Vec<String>,
    /// Only some listeners were asked for.
    pub(crate) filtered: bool,
}

/// A network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    /// Its inode number.
    pub(crate) netns: u32,
    /// The name that `ip netns` has for it.
    pub(crate) name: Option<String>,
    /// It is the one that this process is in.
    pub(crate) own: bool,
    pub(crate) settings: Settings,
    /// The kernel's counters, since the namespace began.
    pub(crate) counters: Option<Values>,
    /// By port and address.
    pub(crate) listeners: Vec<Audited>,
    /// How many more listen there and were not asked for.
    pub(crate) left_out: usize,
    /// Pending handshakes whose listener is unknown; none if their number is unknown.
    pub(crate) unassigned: Option<u32>,
}

/// One of several sockets on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// How many there are.
    pub(crate) size: usize,
    /// Which this is, from 1.
    pub(crate) member: usize,
}

/// A listener: what the tracer knows of one as well, and what only an audit looks up.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    /// Numbered within its namespace.
    pub(crate) listener: Listener,
    /// It is a socket of IPv6, whatever clients it takes.
    pub(crate) is_ipv6: bool,
    /// It is the TCP side of an MPTCP listener.
    pub(crate) mptcp: bool,
    /// The user that its socket belongs to.
    pub(crate) uid: u32,
    /// The name of the interface that it is bound to.
    pub(crate) interface: Option<String>,
    /// Entries of its SYN queue; none if its own entries cannot be identified.
    pub(crate) syn_queue: Option<u32>,
    /// Its place among those on the very same address, which share it by `SO_REUSEPORT`; none:
    /// it is alone, and whether others might join is not known.
    pub(crate) group: Option<Member>,
    /// `TCP_DEFER_ACCEPT` is set; none: it was not looked up, or could not be.
    pub(crate) defer_accept: Option<bool>,
}

impl Space {
    /// One of the kernel's counters.
    pub(crate) fn counter(&self, counter: Counter) -> Option<u64> {
        self.counters.as_ref().and_then(|values| values[counter as usize])
    }

    /// How many handshakes of unknown clients the kernel has pending at most, where the SYN
    /// queue's last-quarter rule holds. Only without cookies, a SYN of an unknown client is
    /// refused if `tcp_max_syn_backlog` - pending < `tcp_max_syn_backlog` >> 2, so this is the
    /// least number of pending ones with which it is.
    pub(crate) fn unknown_clients(&self) -> Option<u32> {
        let bound = self.settings.tcp_max_syn_backlog?;
        (self.settings.syncookies == Some(0)).then(|| (bound - (bound >> 2)).saturating_add(1))
    }

    /// Could all of this listener's `sk_drops` be bare ACKs that `TCP_DEFER_ACCEPT` put off, if
    /// it is set there? The kernel counts each for the namespace.
    pub(crate) fn may_be_deferred(&self, sk_drops: u32) -> bool {
        let deferred = self.counter(Counter::DeferAcceptDrop);
        deferred.is_some_and(|count| count > 0 && u64::from(sk_drops) <= count)
    }

    /// Everything that listens in it is among the listeners.
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
    /// As the dump of sockets shows it, the `number`th of its namespace.
    pub(crate) fn of(listed: &SockDiagListener, number: u32) -> Self {
        Self {
            listener: listed.listener(ListenerId(number)),
            // Only of such does the kernel tell whether they are `IPV6_V6ONLY`.
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

    /// Who holds it.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.listener.identity.owner.as_deref()
    }

    /// What an entry of its queues takes of the kernel's memory.
    pub(crate) fn entry(&self, memory: &Memory) -> Option<Entry> {
        match (self.mptcp, self.is_ipv6) {
            (false, false) => memory.ipv4,
            (false, true) => memory.ipv6,
            (true, false) => memory.mptcp_ipv4,
            (true, true) => memory.mptcp_ipv6,
        }
    }

    /// Depth in percent of the limit, rounded up.
    pub(crate) fn use_percent(&self) -> u64 {
        format::percent(self.listener.depth, self.listener.limit)
    }

    /// Its address as `ss` writes it: `0.0.0.0%eth0:80`.
    pub(crate) fn address(&self) -> String {
        let local = self.listener.local;
        // The creator of an interface chooses its name freely.
        match self.interface.as_deref().map(safe) {
            None => local.to_string(),
            Some(name) if local.is_ipv4() => format!("{}%{name}:{}", local.ip(), local.port()),
            Some(name) => format!("[{}]%{name}:{}", local.ip(), local.port()),
        }
    }
}
