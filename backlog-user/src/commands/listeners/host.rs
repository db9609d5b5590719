//! What an audit knows of a host: its network namespaces, and what listens in each. Plain
//! data: `gather` fills it, `finding` judges it, the views show it.

use std::fmt;

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::{Counter, Values};
use backlog_core::owner::Owner;
use backlog_core::settings::Settings;
use backlog_core::text::format;
use backlog_core::text::whose::safe;

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

/// A listener.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    pub(crate) listed: SockDiagListener,
    /// The name of the interface that it is bound to.
    pub(crate) interface: Option<String>,
    /// Entries of its SYN queue; none if its own entries cannot be identified.
    pub(crate) syn_queue: Option<u32>,
    /// Its place among those on the very same address, which share it by `SO_REUSEPORT`; none:
    /// it is alone, and whether others might join is not known.
    pub(crate) group: Option<Member>,
    /// Who holds it.
    pub(crate) owner: Option<Owner>,
    /// The cgroup (v2) that its socket was made in.
    pub(crate) cgroup: Option<String>,
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
    /// What an entry of its queues takes of the kernel's memory.
    pub(crate) fn entry(&self, memory: &Memory) -> Option<Entry> {
        match (self.listed.mptcp, self.is_ipv6_socket()) {
            (false, false) => memory.ipv4,
            (false, true) => memory.ipv6,
            (true, false) => memory.mptcp_ipv4,
            (true, true) => memory.mptcp_ipv6,
        }
    }

    /// It is an IPv6 socket, whatever clients it accepts: only for these does the kernel report
    /// `IPV6_V6ONLY`.
    pub(crate) fn is_ipv6_socket(&self) -> bool {
        self.listed.v6_only.is_some()
    }

    /// Depth in percent of the limit, rounded up.
    pub(crate) fn use_percent(&self) -> u64 {
        format::percent(self.listed.depth, self.listed.limit)
    }

    /// Its address as `ss` writes it: `0.0.0.0%eth0:80`.
    pub(crate) fn address(&self) -> String {
        let local = self.listed.local;
        // The creator of an interface chooses its name freely.
        match self.interface.as_deref().map(safe) {
            None => local.to_string(),
            Some(name) if local.is_ipv4() => format!("{}%{name}:{}", local.ip(), local.port()),
            Some(name) => format!("[{}]%{name}:{}", local.ip(), local.port()),
        }
    }

    /// `nginx[812]+3`: the main process, and how many more hold it.
    pub(crate) fn owner_text(&self) -> String {
        let Some(Owner { main, processes, .. }) = &self.owner else { return "-".into() };
        // A process names itself as it likes.
        let comm: String = main
            .comm
            .chars()
            .map(|char| if char.is_ascii_graphic() { char } else { '?' })
            .collect();
        match processes.saturating_sub(1) {
            0 => format!("{comm}[{}]", main.pid),
            more => format!("{comm}[{}]+{more}", main.pid),
        }
    }
}
