//! The audit as JSON lines: docs/JSON.md, "backlog-trace listeners". docs/schema.json and the
//! tables of docs/JSON.md are generated from these types and their doc comments.

use std::io::{self, Write};
use std::net::IpAddr;

use backlog_core::counter::Counter;
use jiff::Timestamp;
use serde::Serialize;

use super::finding::{Finding, Kind, Level};
use super::host::{Audited, Host, Member, Space};
use crate::host::kernel::slab;
use crate::output::json::meta::Sysctls;
use crate::output::json::owner::Owner;
use crate::output::json::values::{self, ByCounter, Family, Process, Time};

/// The version of the contract.
const SCHEMA: u32 = 1;

/// One line of the audit. The doc comment of a variant says when it is printed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// First.
    Audit(AuditLine<'a>),
    /// Each listener.
    AuditListener(Box<ListenerLine<'a>>),
    /// Each network namespace with such a listener; that of `--netns` even without one.
    AuditNamespace(NamespaceLine<'a>),
    /// Each finding, the most severe first.
    Finding(FindingLine<'a>),
}

/// `audit`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AuditLine<'a> {
    /// The moment of the audit: the same in all lines.
    time: Time,
    /// The version of this contract. It counts up if anything but an addition changes.
    #[cfg_attr(test, schemars(range(min = 1, max = 1)))]
    schema: u32,
    /// The version of backlog-trace.
    version: &'static str,
    /// What could not be examined, and why.
    not_seen: &'a [String],
    /// What a queue entry takes of the kernel's memory.
    memory: Memory,
}

/// The kernel memory of a queue entry, by family and protocol. Null: could not be read.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Memory {
    /// TCP over IPv4.
    ipv4: Option<Entry>,
    /// TCP over IPv6.
    ipv6: Option<Entry>,
    /// MPTCP over IPv4.
    mptcp_ipv4: Option<Entry>,
    /// MPTCP over IPv6.
    mptcp_ipv6: Option<Entry>,
}

/// The slab objects of a queue entry.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Entry {
    /// The request, bytes: all that an entry of the SYN queue is.
    request: u64,
    /// The sockets, bytes, which an entry of the accept queue has as well.
    socket: u64,
}

/// `audit_listener`. The fields that the tracer's `listener` has are named as there.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerLine<'a> {
    /// The moment of the audit: the same in all lines.
    time: Time,
    /// The address that it is bound to.
    addr: IpAddr,
    /// The port that it is bound to.
    port: u16,
    /// The family of its address.
    family: Family,
    /// An IPv6 socket that accepts no IPv4 clients.
    v6only: bool,
    /// The interface that it is bound to (`SO_BINDTODEVICE`, link-local addresses). Null: none.
    interface: Option<&'a str>,
    /// The inode number of its network namespace.
    netns: u32,
    /// The inode number of its socket.
    inode: u64,
    /// The cookie of its socket.
    cookie: u64,
    /// The granted backlog. The queue is full when its depth is above it.
    limit: u32,
    /// Always null: the kernel does not keep what was asked for.
    asked: (),
    /// `net.core.somaxconn` of its network namespace now. The limit was clamped to the value at
    /// the time of `listen()`. Null: could not be read.
    somaxconn: Option<u32>,
    /// Connections in its accept queue.
    depth: u32,
    /// `depth` in percent of `limit`, rounded up.
    use_percent: u64,
    /// Requests in its SYN queue. Null: they may belong to another listener as well
    /// (`SO_REUSEPORT`, or a wildcard address); the kernel does not tell.
    syn_queue: Option<u32>,
    /// `sk_drops` since it was opened. A refused SYN counts once and a refused last ACK twice. A
    /// repeated SYN, a reset by the client and an ACK put off by `TCP_DEFER_ACCEPT` count once,
    /// though nothing is lost. Null: the kernel does not show it.
    sk_drops: Option<u32>,
    /// `TCP_DEFER_ACCEPT` is set. Null: unknown. It is determined only where a finding
    /// depends on it (`sk_drops` above 0 and not above `TCPDeferAcceptDrop`, `ListenDrops` above
    /// 0), by a copy of the owner's descriptor.
    defer_accept: Option<bool>,
    /// True: another socket listens on exactly the same address. Null: it is alone, which does not
    /// show whether others might join.
    reuseport: Option<bool>,
    /// Its place among those on exactly the same address. Null: it is alone.
    group: Option<Membership>,
    /// It accepts MPTCP.
    mptcp: bool,
    /// The user that its socket belongs to.
    uid: u32,
    /// Kernel memory of a queued connection, bytes, without the data that its client has sent.
    /// Null: could not be read.
    entry_bytes: Option<u64>,
    /// Kernel memory of both queues if they were full, bytes, likewise. Null: could not be read.
    at_most_bytes: Option<u64>,
    /// `owner.main`. Null: not known.
    process: Option<Process<'a>>,
    /// Who holds its socket. Null: nobody (a listener of the kernel's own), or not visible to this
    /// process.
    owner: Option<Owner<'a>>,
    /// The number of the cgroup (v2) where its socket was made. Null: not known.
    cgroup_id: Option<u64>,
    /// The path of that cgroup. Null: not known.
    cgroup: Option<&'a str>,
}

/// The place of a listener among those on exactly the same address.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Membership {
    /// How many there are.
    size: usize,
    /// Which one this is, from 1.
    member: usize,
}

/// `audit_namespace`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NamespaceLine<'a> {
    /// The moment of the audit: the same in all lines.
    time: Time,
    /// The inode number of the network namespace.
    netns: u32,
    /// Its name, as `netns_name` of the tracer's `listener`. Null: not known.
    name: Option<&'a str>,
    /// It is the tool's own.
    own: bool,
    /// Listeners in it that were asked for.
    listeners: usize,
    /// Listeners in it that were not asked for.
    left_out: usize,
    /// Its sysctls.
    settings: Sysctls,
    /// The kernel's counters since the namespace began. `TCPDeferAcceptDrop` does not count refusals. Null:
    /// could not be read.
    counters: ByCounter<Option<u64>>,
    /// Handshakes in progress that may belong to several listeners, or to none. Null: not known.
    syn_queue_unassigned: Option<u32>,
}

/// `finding`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct FindingLine<'a> {
    /// The moment of the audit: the same in all lines.
    time: Time,
    /// How severe it is.
    level: Level,
    /// What it is about.
    kind: Kind,
    /// The inode number of the network namespace. Null: it is about the host.
    netns: Option<u32>,
    /// The listener. Null: it is about the namespace or the host.
    listener: Option<FoundAt>,
    /// What was found, as a sentence.
    fact: &'a str,
    /// What to do, as a sentence. Null: nothing, or an earlier finding of the kind says it.
    cure: Option<&'a str>,
}

/// The listener that a finding is about.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FoundAt {
    /// Its address.
    addr: IpAddr,
    /// Its port.
    port: u16,
    /// The inode number of its socket.
    inode: u64,
}

/// Writes all of it: the audit as a whole, listeners, namespaces, findings.
pub(super) fn write(
    out: &mut impl Write,
    time: Timestamp,
    host: &Host,
    findings: &[Finding<'_>],
) -> io::Result<()> {
    let time = Time::from(time);
    values::write(out, &Line::Audit(AuditLine::of(time, host)))?;
    for space in &host.spaces {
        for audited in &space.listeners {
            let entry = audited.entry(&host.memory);
            let line = ListenerLine::of(time, space, audited, entry);
            values::write(out, &Line::AuditListener(Box::new(line)))?;
        }
    }
    for space in &host.spaces {
        values::write(out, &Line::AuditNamespace(NamespaceLine::of(time, space)))?;
    }
    for finding in findings {
        values::write(out, &Line::Finding(FindingLine::of(time, finding)))?;
    }
    out.flush()
}

impl<'a> AuditLine<'a> {
    fn of(time: Time, host: &'a Host) -> Self {
        Self {
            time,
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            not_seen: &host.not_seen,
            memory: (&host.memory).into(),
        }
    }
}

impl From<&slab::Memory> for Memory {
    fn from(memory: &slab::Memory) -> Self {
        let slab::Memory { ipv4, ipv6, mptcp_ipv4, mptcp_ipv6 } = memory;
        let entry = |entry: &Option<slab::Entry>| {
            entry.map(|slab::Entry { request, socket }| Entry { request, socket })
        };
        Self {
            ipv4: entry(ipv4),
            ipv6: entry(ipv6),
            mptcp_ipv4: entry(mptcp_ipv4),
            mptcp_ipv6: entry(mptcp_ipv6),
        }
    }
}

impl<'a> ListenerLine<'a> {
    fn of(time: Time, space: &Space, audited: &'a Audited, entry: Option<slab::Entry>) -> Self {
        let Audited { listener, interface, syn_queue, group, defer_accept, uid, mptcp, is_ipv6: _ } =
            audited;
        let owner = audited.owner();
        let main = owner.map(|owner| &owner.main);
        Self {
            time,
            addr: listener.local.ip(),
            port: listener.local.port(),
            family: Family::of(listener.local.ip()),
            v6only: listener.v6_only,
            interface: interface.as_deref(),
            netns: space.netns,
            inode: audited.inode(),
            cookie: listener.cookie.unwrap_or_default(),
            limit: listener.limit,
            asked: (),
            somaxconn: space.settings.somaxconn,
            depth: listener.depth,
            use_percent: audited.use_percent(),
            syn_queue: *syn_queue,
            sk_drops: listener.sk_drops,
            defer_accept: *defer_accept,
            reuseport: listener.reuseport,
            group: group.map(|Member { size, member }| Membership { size, member }),
            mptcp: *mptcp,
            uid: *uid,
            entry_bytes: entry.map(slab::Entry::queued),
            at_most_bytes: entry.map(|entry| entry.at_most(listener.limit)),
            process: main.map(|main| Process { pid: main.pid, comm: &main.comm }),
            owner: owner.map(Owner::from),
            cgroup_id: listener.cgroup,
            cgroup: listener.identity.cgroup.as_deref(),
        }
    }
}

impl<'a> NamespaceLine<'a> {
    fn of(time: Time, space: &'a Space) -> Self {
        let counters = Counter::ALL.map(|counter| (counter.name(), space.counter(counter)));
        Self {
            time,
            netns: space.netns,
            name: space.name.as_deref(),
            own: space.own,
            listeners: space.listeners.len(),
            left_out: space.left_out,
            settings: (&space.settings).into(),
            counters: ByCounter(counters.into()),
            syn_queue_unassigned: space.unassigned,
        }
    }
}

impl<'a> FindingLine<'a> {
    fn of(time: Time, finding: &'a Finding<'_>) -> Self {
        let listener = finding.listener.map(|audited| FoundAt {
            addr: audited.listener.local.ip(),
            port: audited.listener.local.port(),
            inode: audited.inode(),
        });
        Self {
            time,
            level: finding.level,
            kind: finding.kind,
            netns: finding.space.map(|space| space.netns),
            listener,
            fact: &finding.fact,
            cure: finding.cure.as_deref(),
        }
    }
}
