//! Simulates the queue without a limit: computes its depth from the real arrivals, the refusals,
//! and the acceptor's idle time. docs/SIZING.md states the model and its assumptions. Pure.
//!
//! The state is the *excess*: how much deeper the simulated queue is than the real one. A client's
//! first refusal adds one, since the simulated queue would have admitted the client. When the
//! client gets in later, it leaves the excess, since it is in the real queue then. While the real
//! queue holds connections, the acceptor serves both queues alike; while it is idle, it would have
//! served the excess, at its rate under load.
//!
//! The result depends on the times of records, not on intervals. Only recordings from before
//! records carried the kernel's counts rely on the counts of their intervals.

mod pace;
mod stretch;
mod syn;

use std::collections::BTreeMap;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::NO_TROUGH;
use serde::{Deserialize, Serialize};

use self::pace::Pace;
pub use self::stretch::{Filling, Stretch};
use self::syn::SynQueue;
use crate::event::form::is_zero;
use crate::event::{Admitted, DropEvent};

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)] // Earlier recordings know less.
pub struct Unlimited {
    /// The smallest depth that arrivals have found since the last step.
    trough: u32,
    excess: f64,
    /// The acceptor's total idle time at the last record.
    free_ns: Option<u64>,
    pace: Pace,
    now: Option<Stretch>,
    /// The surge in which the queue would have been deepest.
    pub deepest: Option<Stretch>,
    /// The surge that grew for the longest time.
    pub longest: Option<Stretch>,
    /// The largest peaks of past surges, in descending order.
    peaks: Vec<f64>,
    /// Clients refused for the first time.
    pub firsts: f64,
    /// How many of these are only an estimate, from drops without a record.
    pub estimated: f64,
    /// Refusals with a record, and how many of them were the first of a client; later ones have a
    /// larger weight.
    told: f64,
    told_firsts: f64,
    /// When the last of these was.
    told_ns: u64,
    /// By CPU: drops without a record that are already included, and their sum.
    records_suppressed: BTreeMap<u32, u32>,
    accounted: u64,
    /// How many of these have a known client, by CPU.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    looked_up: BTreeMap<u32, [u32; 2]>,
    #[serde(skip_serializing_if = "is_zero")]
    accounted_clients: u64,
    #[serde(skip_serializing_if = "is_zero")]
    accounted_retries: u64,
    /// The SYN queue.
    pub syn: SynQueue,
    /// Retries of clients that were refused before the run may count as clients in all surges so
    /// far.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_before: bool,
}

/// Drops without a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// All of these drops.
    pub packets: u64,
    /// How many are known to be the first of their client.
    pub clients: u64,
    /// How many are known to be retries.
    pub retries: u64,
}

/// The factor by which a refusal's weight decays at the next one: about 100 refusals count.
const LATELY: f64 = 0.99;

/// One pause never takes a second connection out of the queue.
const NEARLY_ALL: f64 = 0.999;

/// After this many pauses, or after a stall, the acceptor's position in the simulated queue is
/// unknown.
const LONG: f64 = 1.5;

/// The most peaks that are kept.
const PEAKS: usize = 8;

/// A peak is near the largest one if it has at least this part of it.
const NEAR: f64 = 0.8;

impl Default for Unlimited {
    fn default() -> Self {
        Self {
            trough: NO_TROUGH,
            excess: 0.0,
            free_ns: None,
            pace: Pace::default(),
            now: None,
            deepest: None,
            longest: None,
            peaks: Vec::new(),
            firsts: 0.0,
            estimated: 0.0,
            told: 0.0,
            told_firsts: 0.0,
            told_ns: 0,
            records_suppressed: BTreeMap::new(),
            accounted: 0,
            looked_up: BTreeMap::new(),
            accounted_clients: 0,
            accounted_retries: 0,
            syn: SynQueue::default(),
            from_before: false,
        }
    }
}

impl Unlimited {
    /// Feeds the record of a drop of any cause: the acceptor's state, and the earlier drops without
    /// a record.
    pub fn saw(&mut self, drop: &DropEvent, time_ns: u64) {
        self.trough = self.trough.min(drop.trough);
        let Some(so_far) = &drop.so_far else { return };
        self.pace.saw(so_far);
        let before =
            self.records_suppressed.insert(drop.cpu, so_far.records_suppressed).unwrap_or(0);
        let now = [so_far.suppressed_clients, so_far.suppressed_retries];
        let [clients, retries] = if now == [0; 2] {
            now
        } else {
            let before = self.looked_up.insert(drop.cpu, now).unwrap_or_default();
            [now[0].wrapping_sub(before[0]), now[1].wrapping_sub(before[1])]
        };
        let packets = so_far.records_suppressed.wrapping_sub(before);
        if packets > 0 {
            let [packets, clients, retries] = [packets, clients, retries].map(u64::from);
            self.without_record(Suppressed { packets, clients, retries }, time_ns, drop.limit);
        }
    }

    /// Records a packet that the limit refused; `first`: it is the client's first one.
    /// `from_before`: it may be a retry of a client that was refused before the run.
    pub fn refused(&mut self, drop: &DropEvent, time_ns: u64, first: bool, from_before: bool) {
        if self.from_before && !from_before {
            self.restart(time_ns);
        }
        self.from_before = from_before;
        self.told = self.told * LATELY + 1.0;
        self.told_firsts = self.told_firsts * LATELY + f64::from(u8::from(first));
        self.told_ns = time_ns;
        if !first {
            if drop.cause == Cause::SynQueueFull {
                self.syn.refused_again();
            }
            return;
        }
        if drop.cause == Cause::SynQueueFull && drop.depth <= drop.limit {
            // The accept queue had room, and the connection would have reached it a round trip
            // later.
            self.firsts += 1.0;
            self.syn.refused(drop, time_ns);
            return;
        }
        self.step(drop.depth, drop.free_ns);
        let begun = self.begun(time_ns, drop.accepted_ns);
        self.first(1.0, time_ns, f64::from(drop.depth), begun);
    }

    /// Records the enqueue of a previously refused client; `is_own`: it counts at this listener,
    /// and was not queued before.
    pub fn admitted(&mut self, admitted: &Admitted, is_own: bool) {
        self.trough = self.trough.min(admitted.trough);
        if let Some(so_far) = &admitted.so_far {
            self.pace.saw(so_far);
        }
        if !is_own {
            return;
        }
        self.step(admitted.depth, admitted.free_ns);
        self.excess = (self.excess - 1.0).max(-f64::from(admitted.depth));
        if self.excess <= 0.0 {
            self.end_stretch();
        }
    }

    /// Adds counted accepts under load and the pauses before them. Only for recordings whose
    /// records do not carry these.
    pub fn counted(&mut self, paced: u64, paced_ns: u64) {
        self.pace.counted(paced, paced_ns);
    }

    /// Sets the number of drops without a record so far. Only for recordings whose records do not
    /// carry this number.
    pub fn estimate_without_record(&mut self, without_record: u64, time_ns: u64, limit: u32) {
        let more = without_record.saturating_sub(self.accounted);
        if more > 0 && self.told > 0.0 && self.records_suppressed.is_empty() {
            self.without_record(
                Suppressed { packets: more, ..Suppressed::default() },
                time_ns,
                limit,
            );
        }
    }

    /// The state after the last record, including all drops without a record.
    #[must_use]
    pub fn at_end(&self, all: Suppressed, limit: u32) -> Self {
        let more = Suppressed {
            packets: all.packets.saturating_sub(self.accounted),
            clients: all.clients.saturating_sub(self.accounted_clients),
            retries: all.retries.saturating_sub(self.accounted_retries),
        };
        let mut end = self.clone();
        if more.packets > 0 {
            end.without_record(more, self.told_ns, limit);
        }
        end
    }

    /// The two most important surges, and the current one.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> {
        [self.deepest, self.longest, self.now].into_iter().flatten()
    }

    /// The number of independent peaks nearly as deep as the deepest.
    pub fn near_peaks(&self) -> u64 {
        let now = self.now.map(|now| now.peak);
        let all = self.peaks.iter().copied().chain(now);
        let most = all.clone().fold(0.0, f64::max);
        all.filter(|peak| *peak >= NEAR * most).count() as u64
    }

    /// Whether a surge was still growing at this time that was deeper than all before. How deep it
    /// would have become is unknown.
    #[must_use]
    pub fn grows_until(&self, end_ns: u64) -> bool {
        let before = self.peaks.first().copied().unwrap_or(0.0);
        self.now.is_some_and(|now| before < NEAR * now.peak && now.grows_until(end_ns))
    }

    /// The acceptor's recent mean pause, nanoseconds, if known.
    #[must_use]
    pub fn pause_ns(&self) -> Option<f64> {
        self.pace.pause_ns()
    }

    /// Enforces the bound: a recording may have more.
    pub(super) fn bound(&mut self) {
        self.peaks.truncate(PEAKS);
        self.syn.bound();
    }

    /// Updates the excess before each step: by the acceptor's idle time, and by the smallest depth.
    fn step(&mut self, depth: u32, free_ns: u64) {
        let trough = std::mem::replace(&mut self.trough, NO_TROUGH);
        self.free(free_ns);
        // The simulated queue is never shorter than zero, also when the real one was shortest:
        // returning clients occupy the acceptor while it would be idle.
        self.excess = self.excess.max(-f64::from(trough.min(depth)));
    }

    /// Adds drops without a record. For unknown clients, the share of new clients is taken from the
    /// drops with a known client; if there are none, from the last drops with a record. In a burst
    /// the first drops are clients, and the later ones their retries.
    fn without_record(&mut self, more: Suppressed, time_ns: u64, limit: u32) {
        self.accounted = self.accounted.saturating_add(more.packets);
        self.accounted_clients = self.accounted_clients.saturating_add(more.clients);
        self.accounted_retries = self.accounted_retries.saturating_add(more.retries);
        let known = more.clients.saturating_add(more.retries);
        let share = if known > 0 {
            more.clients as f64 / known as f64
        } else if self.told > 0.0 {
            self.told_firsts / self.told
        } else {
            1.0
        };
        let estimated = more.packets.saturating_sub(known) as f64 * share;
        self.estimated += estimated;
        let depth = f64::from(limit) + 1.0;
        self.first(more.clients as f64 + estimated, time_ns, depth, 0.0);
    }

    /// The elapsed part of the acceptor's pause since its last accept.
    fn begun(&self, time_ns: u64, accepted_ns: u64) -> f64 {
        if accepted_ns == 0 {
            return 0.0;
        }
        let begun = self.pace.pauses(time_ns.saturating_sub(accepted_ns) as f64);
        if begun > LONG { 0.0 } else { begun.min(NEARLY_ALL) }
    }

    /// Adds clients that are refused for the first time, at a queue of this depth and after this
    /// part of a pause.
    fn first(&mut self, clients: f64, time_ns: u64, depth: f64, begun: f64) {
        self.firsts += clients;
        self.excess += clients;
        if self.excess <= 0.0 && self.now.is_none() {
            return;
        }
        // The excess has been reduced by all the work that the acceptor had time for, but it takes
        // whole connections: the connection in progress in the simulated queue has left it only if
        // the acceptor took it before the real one that it is serving.
        let depth = depth + (self.excess - begun).ceil();
        let mark = self.pace.mark();
        let now = self.now.get_or_insert(Stretch::begin(time_ns, depth - clients, mark));
        if depth > now.peak {
            now.grow(time_ns, depth, mark);
        }
    }

    /// Updates the acceptor's total idle time, which the kernel increases at each arrival.
    fn free(&mut self, free_ns: u64) {
        let before = self.free_ns.replace(free_ns);
        let more_ns = before.map_or(0.0, |before| free_ns.saturating_sub(before) as f64);
        if more_ns <= 0.0 {
            return;
        }
        self.excess = (self.excess - self.pace.pauses(more_ns)).max(0.0);
        if self.excess <= 0.0 {
            self.end_stretch();
        }
    }

    /// Forgets the surges so far, and continues from the current queue.
    fn restart(&mut self, time_ns: u64) {
        let mark = self.pace.mark();
        self.now = self.now.map(|now| Stretch::begin(time_ns, now.peak, mark));
        (self.deepest, self.longest) = (None, None);
        self.peaks.clear();
    }

    fn end_stretch(&mut self) {
        let Some(now) = self.now.take() else { return };
        let place = self.peaks.partition_point(|peak| *peak >= now.peak);
        self.peaks.insert(place, now.peak);
        self.peaks.truncate(PEAKS);
        if self.deepest.is_none_or(|deepest| now.peak > deepest.peak) {
            self.deepest = Some(now);
        }
        if self.longest.is_none_or(|longest| now.growth_ns() > longest.growth_ns()) {
            self.longest = Some(now);
        }
    }
}
