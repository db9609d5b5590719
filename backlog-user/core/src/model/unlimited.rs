//! A simulated queue without a limit: its depth, from the real arrivals, the refusals, and the
//! acceptor's idle time. docs/SIZING.md states the model and its assumptions. Pure.
//!
//! The state is the *excess*: how much deeper that queue would be than the real one. A client's
//! first refusal adds one to it, since the client would have been queued there. When the client
//! gets in later, it leaves the excess, since it is in the real queue then. While the real queue
//! holds connections, the acceptor does the same in both; while it is idle, it would have served
//! the excess, at the rate that it had under load.
//!
//! Everything here follows from the moments of records and not from intervals. Only recordings
//! made before records carried the kernel's counts rely on those of their intervals.

mod pace;
mod stretch;
mod syn;

use std::collections::BTreeMap;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::NO_TROUGH;
use serde::{Deserialize, Serialize};

use self::pace::Pace;
pub use self::stretch::Stretch;
use self::syn::SynQueue;
use crate::event::form::is_zero;
use crate::event::{Admitted, DropEvent};

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)] // Earlier recordings know less.
pub struct Unlimited {
    /// The least depth that arrivals have found since the last step.
    trough: u32,
    excess: f64,
    /// The acceptor's free time as the kernel had added it up last.
    free_ns: Option<u64>,
    pace: Pace,
    now: Option<Stretch>,
    /// The surge in which the queue would have been deepest.
    pub deepest: Option<Stretch>,
    /// The one that grew longest.
    pub longest: Option<Stretch>,
    /// The largest peaks of stretches that are over, in descending order.
    peaks: Vec<f64>,
    /// Clients refused for the first time.
    pub firsts: f64,
    /// Those of them that were only counted, so that their number of clients is an estimate.
    pub estimated: f64,
    /// Refusals with a record, and the first ones of a client among them,
    /// the later ones counting more.
    told: f64,
    told_firsts: f64,
    /// When the last of them was.
    told_ns: u64,
    /// By CPU: drops without a record that are accounted for, and their sum.
    records_suppressed: BTreeMap<u32, u32>,
    accounted: u64,
    /// Those of them whose clients are known, likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    looked_up: BTreeMap<u32, [u32; 2]>,
    #[serde(skip_serializing_if = "is_zero")]
    accounted_clients: u64,
    #[serde(skip_serializing_if = "is_zero")]
    accounted_retries: u64,
    /// The SYN queue.
    pub syn: SynQueue,
    /// Retries of clients that were refused before the run may count as clients in every surge so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_before: bool,
}

/// Drops without a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// All of them.
    pub packets: u64,
    /// Those that are known to be the first of their client.
    pub clients: u64,
    /// Those that are known to be retries.
    pub retries: u64,
}

/// The decay of a refusal's weight at the next one: about 100 of them count.
const LATELY: f64 = 0.99;

/// One pause takes no second connection out of the queue.
const NEARLY_ALL: f64 = 0.999;

/// After this many pauses, or a stall, the acceptor's position in the simulated queue is unknown.
const LONG: f64 = 1.5;

/// Peaks that are kept.
const PEAKS: usize = 8;

/// A peak is near the largest one from this part of it on.
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

    /// A packet was refused by the limit; `first`: the client's first one. `from_before`: it may be a
    /// retry of one that was refused before the run.
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
            // There was room in the accept queue, and it would have come there a round trip later.
            self.firsts += 1.0;
            self.syn.refused(drop, time_ns);
            return;
        }
        self.step(drop.depth, drop.free_ns);
        let begun = self.begun(time_ns, drop.accepted_ns);
        self.first(1.0, time_ns, f64::from(drop.depth), begun);
    }

    /// A client that was refused before has got in; `is_own`: it counts here, and has not got in yet.
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

    /// Accepts with work before them were counted, and the pauses before them. Only for
    /// recordings whose records say nothing of that.
    pub fn counted(&mut self, paced: u64, paced_ns: u64) {
        self.pace.counted(paced, paced_ns);
    }

    /// This many drops have had no record so far. Only for recordings whose records do not carry
    /// this number.
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

    /// The state after the last record: these drops have had none.
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

    /// The two surges that matter, and the current one.
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

    /// Was a surge still growing at this time that was deeper than all before? How deep it would have
    /// become is not known.
    #[must_use]
    pub fn grows_until(&self, end_ns: u64) -> bool {
        let before = self.peaks.first().copied().unwrap_or(0.0);
        self.now.is_some_and(|now| before < NEAR * now.peak && now.grows_until(end_ns))
    }

    /// The mean pause of the acceptor lately, nanoseconds, if it is known.
    #[must_use]
    pub fn pause_ns(&self) -> Option<f64> {
        self.pace.pause_ns()
    }

    /// As it is kept here: a recording may have more.
    pub(super) fn bound(&mut self) {
        self.peaks.truncate(PEAKS);
        self.syn.bound();
    }

    /// Applied at every step: the acceptor's idle time, and the smallest depth.
    fn step(&mut self, depth: u32, free_ns: u64) {
        let trough = std::mem::replace(&mut self.trough, NO_TROUGH);
        self.free(free_ns);
        // The simulated queue is never shorter than zero, nor was it when the real one was
        // shortest: returning clients occupy the acceptor where it would be idle.
        self.excess = self.excess.max(-f64::from(trough.min(depth)));
    }

    /// More drops without a record. Where the client is not known, the share of new clients is that among
    /// the drops whose client is; if there are none, that among the last drops with a record. In a burst
    /// the first are clients, and those behind them their retries.
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

    /// Clients are refused for the first time, at a queue of this depth, after this part of a
    /// pause.
    fn first(&mut self, clients: f64, time_ns: u64, depth: f64, begun: f64) {
        self.firsts += clients;
        self.excess += clients;
        if self.excess <= 0.0 && self.now.is_none() {
            return;
        }
        // The excess is less by all the work that the acceptor had time for. But those are whole
        // connections: the one that it would be at has left the queue only if it was taken
        // before the one that it is at.
        let depth = depth + (self.excess - begun).ceil();
        let mark = self.pace.mark();
        let now = self.now.get_or_insert(Stretch::begin(time_ns, depth - clients, mark));
        if depth > now.peak {
            now.grow(time_ns, depth, mark);
        }
    }

    /// The acceptor's total idle time, which the kernel adds up at each arrival.
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

    /// Forgets the surges so far, and goes on from the queue as it is.
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
