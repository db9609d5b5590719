//! State of the model that no later event repeats. A recording that begins in the middle of a run
//! includes it.

use std::collections::BTreeMap;

use backlog_ebpf::cause::Cause;
use serde::{Deserialize, Serialize};

use super::accept_errors::FailedAccepts;
use super::distribution::Distribution;
use super::episode::Episodes;
use super::members::Members;
use super::page::{Ended, Paced, Page, PeakUse};
use super::pauses::Stalls;
use super::stall::Stall;
use super::sums::Sums;
use super::unlimited::Unlimited;
use super::workers::Workers;
use super::{Gone, Model, NamespacesEnded};
use crate::event::form::is_zero;
use crate::event::{Acceptor, ListenerId, Moves, Netns};

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSnapshot {
    pages: Vec<PageSnapshot>,
    /// Counts of a network namespace's listeners from before its reconciliation began.
    before: BTreeMap<Netns, Sums>,
    gone: Gone,
    gone_sums: BTreeMap<Netns, Sums>,
    clients_forgotten: u64,
    #[serde(default)]
    ended: NamespacesEnded,
}

/// The state of one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PageSnapshot {
    listener: ListenerId,
    clients: u64,
    peak_use: PeakUse,
    follows: Option<ListenerId>,
    #[serde(default)]
    limit_changed: bool,
    last_drops_ns: [Option<u64>; Cause::COUNT],
    /// The outcome of its clients, and what it implies for its limit.
    #[serde(default)]
    advice: Advice,
}

/// The basis for a verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Advice {
    admitted: u64,
    #[serde(default)]
    ended: Ended,
    delay: Moves,
    longest_delay: u64,
    idle_ns: u64,
    episodes: Episodes,
    unlimited: Unlimited,
    #[serde(default)]
    accept_errors: FailedAccepts,
    #[serde(default)]
    idle: Option<Box<Acceptor>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    idle_seen_ns: u64,
    #[serde(default)]
    stall: Stall,
    /// Its number in its group; zero: unknown.
    #[serde(default)]
    member: u32,
    #[serde(default)]
    grouped: bool,
    #[serde(default)]
    workers: Workers,
    #[serde(default)]
    stalls: Stalls,
    #[serde(default)]
    paced: Paced,
    #[serde(default, skip_serializing_if = "is_zero")]
    returned_clients: u64,
}

impl PageSnapshot {
    fn of(page: &Page) -> Self {
        Self {
            listener: page.listener.id,
            clients: page.recorded_clients,
            peak_use: page.peak_use,
            follows: page.follows,
            limit_changed: page.limit_changed,
            last_drops_ns: page.last_drops_ns(),
            advice: Advice {
                admitted: page.admitted,
                ended: page.ended,
                delay: page.delay.moves(),
                longest_delay: page.delay.max().unwrap_or(0),
                idle_ns: page.idle_ns,
                episodes: page.episodes.clone(),
                unlimited: page.unlimited.clone(),
                accept_errors: page.accept_errors.clone(),
                idle: page.idle.clone(),
                idle_seen_ns: page.idle_seen_ns,
                stall: page.stall,
                member: page.member,
                grouped: page.grouped,
                workers: page.workers.clone(),
                stalls: page.stalls,
                paced: page.paced,
                returned_clients: page.returned_clients,
            },
        }
    }

    fn restore(&self, page: &mut Page) {
        page.recorded_clients = self.clients;
        page.returned_clients = self.advice.returned_clients;
        page.peak_use = self.peak_use;
        page.follows = self.follows;
        page.limit_changed |= self.limit_changed;
        page.restart_runs(self.last_drops_ns);
        let advice = &self.advice;
        (page.admitted, page.idle_ns, page.stall) = (advice.admitted, advice.idle_ns, advice.stall);
        page.ended = advice.ended;
        if advice.member > 0 {
            (page.member, page.grouped) = (advice.member, advice.grouped);
        }
        (page.stalls, page.paced) = (advice.stalls, advice.paced);
        page.delay = Distribution::of_waits();
        page.delay.add(&advice.delay, advice.longest_delay);
        page.episodes.clone_from(&advice.episodes);
        page.unlimited.clone_from(&advice.unlimited);
        page.accept_errors.clone_from(&advice.accept_errors);
        page.idle.clone_from(&advice.idle);
        page.idle_seen_ns = advice.idle_seen_ns;
        page.workers.clone_from(&advice.workers);
        page.episodes.bound();
        page.unlimited.bound();
        page.accept_errors.bound();
        page.workers.bound();
    }
}

impl Model {
    /// The state that events do not carry.
    pub fn snapshot(&self) -> ModelSnapshot {
        let before = self.namespaces.all_told();
        let before = before.filter(|(_, known)| known.begins || known.before != Sums::default());
        ModelSnapshot {
            pages: self.pages.values().map(PageSnapshot::of).collect(),
            before: before.map(|(netns, namespace)| (netns, namespace.before)).collect(),
            gone: self.gone,
            gone_sums: self.namespaces.evicted_sums(self.pages.values()),
            clients_forgotten: self.clients.forgotten(),
            ended: self.namespaces.ended,
        }
    }

    /// Resumes a run from `past`: an interval starts here, and all events so far were before it.
    pub fn resume(&mut self, time_ns: u64, past: &ModelSnapshot) {
        // Changes made by these events belong to no interval.
        drop(self.tick(time_ns));
        for known in &past.pages {
            self.page(known.listener, |page| known.restore(page));
        }
        self.members = Members::of(&self.pages);
        for (netns, before) in &past.before {
            self.namespaces.told(*netns).before = *before;
        }
        self.gone = past.gone;
        self.namespaces.ended = past.ended;
        for (netns, sums) in &past.gone_sums {
            self.namespaces.had_counted(*netns, sums);
        }
        self.clients.forgot(past.clients_forgotten);
        // The sums of closed listeners belong to the last reconciliation.
        self.namespaces.all_seen();
    }
}

#[cfg(test)]
mod tests {
    use super::PageSnapshot;

    /// Recordings used to keep how many members were idle in the worst interval.
    #[test]
    fn an_older_recording_is_read() {
        let none = "null,".repeat(9);
        let text = format!(
            r#"{{"listener":1,"clients":3,"peak_use":[0,0,0,0,0,0,0,0,0,0,0,1],"follows":null,
            "beside_idle":{{"idle":1,"with_room":2,"members":3}},"last_drops_ns":[{}]}}"#,
            none.trim_end_matches(',')
        );
        let past: PageSnapshot = serde_json::from_str(&text).unwrap();
        assert_eq!((past.clients, past.advice.member), (3, 0));
    }
}
