//! What a listener refused: packets, clients, episodes, and connections that were abandoned in the
//! queue.

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::model::clients::UnadmittedClients;
use backlog_core::model::episode;
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;
use backlog_ebpf::cause::{Beside, Cause};
use serde::Serialize;

use super::acceptor::AcceptorState;
use super::distribution::Distribution;
use super::values::{EveryCount, Time};

/// Refused packets, and what became of their clients: `clients` = `admitted` + `gave_up` + `reset`
/// + `trying` + `unknown` (docs/SIZING.md).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Drops {
    /// Refused packets.
    total: u64,
    /// Refused attempts, by address, port and initial sequence number. In a flood, with more than
    /// 1,500 drops without a line per CPU and second: this many at least.
    clients: u64,
    /// Attempts that were accepted after a retry.
    admitted: u64,
    /// Attempts that ended without being accepted.
    gave_up: u64,
    /// Those of `gave_up` whose client believed that it was connected.
    believing: u64,
    /// Attempts that the kernel reset.
    reset: u64,
    /// Attempts that may still go on, or wait in the queue.
    trying: u64,
    /// Attempts whose end is unknown.
    unknown: u64,
    /// Attempts that were evicted from the table of refused attempts: whether a retry of theirs
    /// was admitted is unknown.
    unfollowed: u64,
    /// Time from the first drop of `admitted` attempts until they got in, microseconds.
    delay_us: Distribution,
    /// Drops without a line, beyond `--drop-records`.
    only_counted: u64,
    /// Drops that no counter of the kernel counts.
    uncounted: u64,
    #[serde(flatten)]
    by_cause: EveryCount<Cause>,
}

/// Connections that came to nothing in the queue.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Abandoned {
    /// Connections that their client had reset by the time they were accepted.
    reset: u64,
    /// Connections that their client had ended by the time they were accepted.
    fin: u64,
    /// Connections that died when the listener closed.
    at_close: u64,
    /// Connections in the queue at the close. Null: the listener is open.
    depth_at_close: Option<u32>,
}

/// Episodes: runs of drops without a gap of a second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Episodes<'a> {
    /// How many there were.
    count: u64,
    /// At most 128 of them, the first ones and the last ones.
    kept: Vec<Episode<'a>>,
}

/// An episode.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Episode<'a> {
    /// The first drop.
    begin: Time,
    /// The last drop.
    end: Time,
    /// Refused packets.
    packets: u64,
    /// Attempts that were refused for the first time, of the drops that have a line.
    clients: u64,
    /// What the acceptors were doing. Null: they were not examined.
    acceptor: Option<AcceptorState<'a>>,
}

impl Drops {
    /// The drops of a listener.
    pub(super) fn of(model: &Model, summary: &Summary<'_>, end_ns: u64) -> Self {
        let page = summary.page;
        let UnadmittedClients { gave_up, believing, reset, trying, unknown } =
            model.unadmitted(page, end_ns);
        Self {
            total: summary.drops,
            clients: page.clients(),
            admitted: page.admitted,
            gave_up,
            believing,
            reset,
            trying,
            unknown,
            unfollowed: page.totals.retry_table_evictions,
            delay_us: (&page.delay).into(),
            only_counted: page.totals.records_suppressed,
            uncounted: page.totals.not_in_mib,
            by_cause: EveryCount::of(&Cause::ALL, &page.totals.drops),
        }
    }
}

impl Abandoned {
    /// The abandoned connections of a listener.
    pub(super) fn of(page: &Page) -> Self {
        let count = |beside: Beside| page.totals.beside[beside as usize];
        Self {
            reset: count(Beside::AbandonedReset),
            fin: count(Beside::AbandonedFin),
            at_close: count(Beside::KilledAtClose),
            depth_at_close: page.closed.map(|(_, closed)| closed.depth),
        }
    }
}

impl<'a> Episodes<'a> {
    /// The episodes of a listener.
    pub(super) fn of(clock: &Clock, page: &'a Page) -> Self {
        let kept = page.episodes.kept().iter().map(|episode| Episode::of(clock, episode));
        Self { count: page.episodes.count(), kept: kept.collect() }
    }
}

impl<'a> Episode<'a> {
    fn of(clock: &Clock, episode: &'a episode::Episode) -> Self {
        let episode::Episode { begin_ns, last_ns, packets, without_record: _, clients, acceptor } =
            episode;
        Self {
            begin: Time::of(clock, *begin_ns),
            end: Time::of(clock, *last_ns),
            packets: *packets,
            clients: *clients,
            acceptor: acceptor.as_deref().map(AcceptorState::from),
        }
    }
}
