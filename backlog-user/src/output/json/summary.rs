//! The line of a listener's summary.

use backlog_core::clock::Clock;
use backlog_core::event::LastAccept;
use backlog_core::model::Model;
use backlog_core::model::page::{Page, StillQueued};
use backlog_core::model::reconcile::{self, Account};
use backlog_core::model::summary::Summary;
use backlog_core::run::End;
use backlog_ebpf::cause::Beside;
use backlog_ebpf::record::Kind;
use serde::Serialize;

use super::acceptor::AcceptorState;
use super::accepts::{AcceptCounts, AllFailedCalls};
use super::distribution::Distribution;
use super::drops::{Abandoned, Drops, Episodes};
use super::group::{Group, Groups};
use super::listener::ListenerFields;
use super::namespace::{Comparison, comparisons};
use super::sizing::Sizing;
use super::values::{At, ByCounter, EveryCount, Id, Time};

/// `summary`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SummaryLine<'a> {
    #[serde(flatten)]
    at: At,
    /// The listener, with its limit at the end and its depth when it was found.
    listener: SummaryListener<'a>,
    /// The last accept whose thread was seen, or one at most a millisecond before. Null: none.
    last_accept: Option<Accept>,
    /// How long the run lasted, seconds.
    elapsed_s: f64,
    /// Connections added to the accept queue.
    enqueued: u64,
    /// Connections accepted.
    accepted: u64,
    /// Connections in the accept queue at the end.
    queued: u32,
    /// Those of `accepted` without a wait: they were queued before the start, or `untracked`.
    untimed: u64,
    /// Those of `enqueued` without a wait: the table of queued connections was full.
    untracked: u64,
    /// Those of `enqueued` and of `accepted` whose arrival no program saw: counted when they were
    /// accepted, without depth and wait (tracepoints; docs/BACKENDS.md says when).
    unseen: u64,
    /// The longest time that one of `untimed` has waited since the start, microseconds. Null:
    /// none was queued before the start.
    waited_at_least_us: Option<u64>,
    /// Side events, which are not drops of the queue.
    beside: EveryCount<Beside>,
    /// The deepest accept queue.
    peak: Peak,
    /// The longest SYN queue; `syn_queue.peak`.
    syn_queue_peak: u32,
    /// The SYN queue.
    syn_queue: SynQueue,
    /// The depth that each arrival met, itself included.
    depth: Distribution,
    /// Waits from the enqueue to `accept()`, microseconds.
    wait_us: Distribution,
    /// Counts of intervals by their peak in percent of the limit: nothing queued, 1 to 10, 11 to
    /// 20, ... 91 to 100, above.
    peak_use: [u64; 12],
    /// Refused packets, and what became of their clients.
    drops: Drops,
    /// The kernel's counters of the listener's network namespace, and `sk_drops` of the listener
    /// itself, which one that has closed does not have.
    reconciled: ByCounter<Comparison>,
    /// Records of this listener that found the ring buffer full: lines that are missing. No count
    /// and no distribution lacks them.
    lost_records: u64,
    /// The same by kind of record.
    lost_by_kind: EveryCount<Kind>,
    /// Connections that came to nothing in the queue.
    abandoned: Abandoned,
    /// Who accepted.
    accepts: AcceptCounts<'a>,
    /// Failed calls of `accept()`.
    accept_errors: AllFailedCalls<'a>,
    /// What the acceptors were doing the last time that nobody had accepted for a second although
    /// the queue was not empty. Null: that was not so, or they had been examined since drops had
    /// begun.
    idle: Option<AcceptorState<'a>>,
    /// The part of the time while anything was queued. Null: nothing was accepted.
    #[cfg_attr(test, schemars(range(min = 0, max = 1)))]
    busy: Option<f64>,
    /// Runs of drops without a gap of a second.
    episodes: Episodes<'a>,
    /// Connections in the queue at the end. Null: none.
    still_queued: Option<Queued>,
    /// What to do.
    sizing: Sizing,
}

/// A listener at the end.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SummaryListener<'a> {
    #[serde(flatten)]
    listener: ListenerFields<'a>,
    /// The `id` of the listener that closed at the same address before this one opened. Null:
    /// none.
    follows: Option<Id>,
    /// Its `SO_REUSEPORT` group. Null: it is alone at its address.
    group: Option<Group>,
}

/// An accept.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Accept {
    /// When.
    time: Time,
    /// The process, as the kernel's first pid namespace numbers it.
    pid: u32,
    /// Its thread, likewise.
    tid: u32,
}

/// The deepest accept queue.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Peak {
    /// How deep it was.
    depth: u32,
    /// When. Null: nothing was queued.
    time: Option<Time>,
}

/// The SYN queue: how long it was, what bounds it, and how often cookies were sent for lack of
/// room.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SynQueue {
    /// How long it was at most.
    peak: u32,
    /// When that was. Null: it was never used.
    time: Option<Time>,
    /// The limit, which bounds it.
    limit: u32,
    /// `net.ipv4.tcp_syncookies`. Null: could not be read.
    syncookies: Option<u8>,
    /// `net.ipv4.tcp_max_syn_backlog`, which bounds it as well with `syncookies` 0. Null: could
    /// not be read.
    tcp_max_syn_backlog: Option<u32>,
    /// SYNs that were answered with a cookie in its place.
    cookies: u64,
}

/// What is queued at the end.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Queued {
    /// How many connections.
    count: u32,
    /// How long the oldest has been queued, microseconds. Null: not known.
    oldest_us: Option<u64>,
    /// `oldest_us` is a lower bound.
    at_least: bool,
}

impl<'a> SummaryLine<'a> {
    /// Builds the line of a summary.
    pub(super) fn of(
        clock: &Clock,
        model: &Model,
        groups: &Groups,
        summary: &Summary<'a>,
        end: &End,
    ) -> Self {
        let page = summary.page;
        let totals = &page.totals;
        let lost = Kind::ALL.map(|kind| summary.lost_of(kind));
        let time = |time_ns| Time::of(clock, time_ns);
        Self {
            at: At::of(clock, end.time_ns),
            listener: SummaryListener {
                listener: (&page.listener).into(),
                follows: page.follows.map(Id::from),
                group: Group::of(model, groups, summary, end.time_ns),
            },
            last_accept: page.last_accept.map(|last| Accept::of(clock, &last)),
            elapsed_s: end.elapsed_ns as f64 / 1e9,
            enqueued: totals.enqueued,
            accepted: totals.accepted,
            queued: page.depth(),
            untimed: totals.accepts_without_wait,
            untracked: totals.pending_overflow,
            unseen: totals.enqueue_missed,
            waited_at_least_us: page.at_least_us,
            beside: EveryCount::by_name(&Beside::ALL, &totals.beside),
            peak: Peak { depth: summary.peak, time: summary.peak_ns.map(time) },
            syn_queue_peak: totals.syn_queue_peak,
            syn_queue: SynQueue::of(clock, model, page),
            depth: (&page.depth).into(),
            wait_us: (&page.wait).into(),
            peak_use: page.peak_use.0,
            drops: Drops::of(model, summary, end.time_ns),
            reconciled: reconciled(page, &end.accounts),
            lost_records: summary.lost,
            lost_by_kind: EveryCount::by_name(&Kind::ALL, &lost),
            abandoned: Abandoned::of(page),
            accepts: AcceptCounts::of(page),
            accept_errors: AllFailedCalls::of(clock, &page.accept_errors),
            idle: page.idle.as_deref().map(AcceptorState::from),
            busy: busy(page, end.time_ns),
            episodes: Episodes::of(clock, page),
            still_queued: page.still_queued(end.time_ns).map(Queued::from),
            sizing: Sizing::of(clock, model.sizing(page, end.time_ns)),
        }
    }
}

/// The comparisons of the listener's network namespace, and its own.
fn reconciled(page: &Page, accounts: &[Account]) -> ByCounter<Comparison> {
    // The accounts are sorted by namespace.
    let netns = page.listener.netns;
    let account = accounts.binary_search_by_key(&netns, |account| account.netns);
    let account = account.ok().and_then(|at| accounts.get(at));
    let own = reconcile::of_listener(page);
    comparisons(account.into_iter().flat_map(|account| &account.verdicts).chain(own.as_ref()))
}

/// How long anything was queued, as a fraction of the time that the listener was seen.
fn busy(page: &Page, end_ns: u64) -> Option<f64> {
    let end_ns = page.closed.map_or(end_ns, |(closed_ns, _)| closed_ns);
    let elapsed_ns = end_ns.saturating_sub(page.first_seen_ns);
    (elapsed_ns > 0 && page.totals.accepted > 0)
        .then(|| (1.0 - page.idle_ns as f64 / elapsed_ns as f64).clamp(0.0, 1.0))
}

impl Accept {
    fn of(clock: &Clock, last: &LastAccept) -> Self {
        Self { time: Time::of(clock, last.time_ns), pid: last.pid, tid: last.tid }
    }
}

impl SynQueue {
    fn of(clock: &Clock, model: &Model, page: &Page) -> Self {
        let totals = &page.totals;
        let settings = model.settings_of(page.listener.netns).copied().unwrap_or_default();
        Self {
            peak: totals.syn_queue_peak,
            time: (totals.syn_queue_peak > 0).then(|| Time::of(clock, totals.syn_queue_peak_ns)),
            limit: page.listener.limit,
            syncookies: settings.syncookies,
            tcp_max_syn_backlog: settings.tcp_max_syn_backlog,
            cookies: totals.beside[Beside::SynCookieSent as usize],
        }
    }
}

impl From<StillQueued> for Queued {
    fn from(queued: StillQueued) -> Self {
        let StillQueued { count, oldest_ns, at_least } = queued;
        Self { count, oldest_us: oldest_ns.map(|oldest_ns| oldest_ns / 1000), at_least }
    }
}
