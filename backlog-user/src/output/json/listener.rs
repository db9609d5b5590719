//! Lines on a listener: its description, its close, and changes of its limit.

use std::net::IpAddr;

use backlog_core::clock::Clock;
use backlog_core::event::{Closed, Limit, Listener};
use backlog_core::model::page::Page;
use serde::Serialize;

use super::owner::Owner;
use super::values::{At, Family, Id, Process};

/// What a listener is: in its own line, and in that of its summary.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerFields<'a> {
    /// The tool's own number of it, which other lines name it by.
    id: Id,
    /// The address that it is bound to.
    addr: IpAddr,
    /// The port that it is bound to.
    port: u16,
    /// The family of its address.
    family: Family,
    /// An IPv6 socket that accepts no IPv4 clients.
    v6only: bool,
    /// The inode number of its network namespace.
    netns: u32,
    /// Distinguishes network namespaces that have had the same inode number one after the other:
    /// the lower half of the namespace's cookie, before 5.14 a number that the kernel draws for
    /// each namespace. Null: not known.
    netns_id: Option<u32>,
    /// `host`, the name that the network namespace is mounted by, or `pid 812 (nginx)`: a process
    /// that lives there. Null: not known.
    netns_name: Option<&'a str>,
    /// The inode number of its socket. Null: it has none, or not known.
    inode: Option<u64>,
    /// The cookie of its socket. Null: not queried.
    cookie: Option<u64>,
    /// The granted backlog. The queue is full when its depth is above it.
    limit: u32,
    /// The backlog that was passed to the last `listen()` on it. Null: the call was before the
    /// start, or it did not come by the system call (but by `io_uring` or the kernel itself).
    asked: Option<i32>,
    /// `net.core.somaxconn` of its network namespace at that call. Null: the call was not seen.
    somaxconn: Option<u32>,
    /// Was less granted than asked for? Null: not known what was asked for.
    clamped: Option<bool>,
    /// Connections in its accept queue when it was found.
    depth: u32,
    /// `SO_REUSEPORT`. Null: it was open before the start and has had no event; the summary knows
    /// then.
    reuseport: Option<bool>,
    /// `owner.main`; until the owner was searched for, who called `listen()`. Null: not known.
    process: Option<Process<'a>>,
    /// Who holds its socket. Null: not searched for yet, nobody (a listener of the kernel's own),
    /// or not visible to this process.
    owner: Option<Owner<'a>>,
    /// The path of the cgroup (v2) where its socket was made. A process that moves does not take
    /// its socket along. Null: not known.
    cgroup: Option<&'a str>,
}

impl<'a> From<&'a Listener> for ListenerFields<'a> {
    fn from(listener: &'a Listener) -> Self {
        let identity = &listener.identity;
        let call = listener.call.as_ref();
        Self {
            id: listener.id.into(),
            addr: listener.local.ip(),
            port: listener.local.port(),
            family: Family::of(listener.local.ip()),
            v6only: listener.v6_only,
            netns: listener.netns.inode(),
            netns_id: listener.netns.identity(),
            netns_name: identity.netns.as_deref(),
            inode: listener.inode,
            cookie: listener.cookie,
            limit: listener.limit,
            asked: call.and_then(|call| call.asked),
            somaxconn: call.and_then(|call| call.somaxconn),
            clamped: listener.is_cut(),
            depth: listener.depth,
            reuseport: listener.reuseport,
            process: process(listener),
            owner: identity.owner.as_deref().map(Owner::from),
            cgroup: identity.cgroup.as_deref(),
        }
    }
}

/// Its main process, without a copy of the name.
pub(super) fn process(listener: &Listener) -> Option<Process<'_>> {
    if let Some(owner) = &listener.identity.owner {
        return Some(Process { pid: owner.main.pid, comm: &owner.main.comm });
    }
    listener.call.as_ref()?.caller.as_ref().map(Process::from)
}

/// `listener`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerLine<'a> {
    #[serde(flatten)]
    at: At,
    #[serde(flatten)]
    listener: ListenerFields<'a>,
    /// The `id` of the listener that closed at the same address before this one opened: the same
    /// server, started again. Null: none.
    follows: Option<Id>,
}

impl<'a> ListenerLine<'a> {
    /// The line of a listener that was found.
    pub(super) fn of(clock: &Clock, time_ns: u64, page: &'a Page) -> Self {
        let at = At::of(clock, time_ns);
        Self { at, listener: (&page.listener).into(), follows: page.follows.map(Id::from) }
    }
}

/// `closed`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClosedLine {
    #[serde(flatten)]
    at: At,
    /// The `id` of the listener.
    listener: Id,
    /// Connections in its accept queue, which are lost or migrate.
    depth: u32,
    /// Requests in its SYN queue, likewise.
    syn_queue: u32,
}

impl ClosedLine {
    /// The line of a listener that has closed.
    pub(super) fn of(clock: &Clock, time_ns: u64, page: &Page, closed: &Closed) -> Self {
        let Closed { depth, syn_queue, listener: _ } = *closed;
        Self { at: At::of(clock, time_ns), listener: page.listener.id.into(), depth, syn_queue }
    }
}

/// `limit`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LimitLine<'a> {
    #[serde(flatten)]
    at: At,
    /// The `id` of the listener.
    listener: Id,
    /// The limit now.
    limit: u32,
    /// The limit before; the same, if it did not change.
    was: u32,
    /// Connections in the accept queue.
    depth: u32,
    /// The backlog that was passed to `listen()`. Null: not known.
    asked: Option<i32>,
    /// `net.core.somaxconn` of the network namespace at the call. Null: the call was not seen.
    somaxconn: Option<u32>,
    /// Was less granted than asked for? Null: not known what was asked for.
    clamped: Option<bool>,
    /// Who called `listen()`. Null: not seen.
    process: Option<Process<'a>>,
}

impl<'a> LimitLine<'a> {
    /// The line of another limit.
    pub(super) fn of(clock: &Clock, time_ns: u64, page: &Page, limit: &'a Limit) -> Self {
        let Limit { now, was, depth, call, listener: _, opens: _ } = limit;
        let call = call.as_ref();
        Self {
            at: At::of(clock, time_ns),
            listener: page.listener.id.into(),
            limit: *now,
            was: *was,
            depth: *depth,
            asked: call.and_then(|call| call.asked),
            somaxconn: call.and_then(|call| call.somaxconn),
            clamped: call.and_then(|call| call.asked.map(|_| call.is_cut(*now))),
            process: call.and_then(|call| call.caller.as_ref()).map(Process::from),
        }
    }
}
