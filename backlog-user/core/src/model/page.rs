//! A listener's page: its properties, the kernel's counts, and the distributions of its arrivals,
//! waits and interval peaks.

mod acceptor;
mod limits;
mod refused;
mod tick;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{WAITS, bucket};
use backlog_ebpf::totals::Totals;
use serde::{Deserialize, Serialize};

use self::acceptor::Fresh;
pub use self::acceptor::{Oldest, Paced, StillQueued};
use self::limits::FormerLimits;
pub use self::tick::PeakUse;
use super::accept_errors::FailedAccepts;
use super::clients::{Admission, Fate};
use super::distribution::Distribution;
use super::episode::Episodes;
use super::pauses::Stalls;
use super::stall::Stall;
use super::streak::DropBurst;
use super::timeline::Timeline;
use super::unlimited::Unlimited;
use super::workers::Workers;
use crate::counter::Range;
use crate::event::{
    Acceptor, Admitted, Closed, Count, DropEvent, LastAccept, Limit, Listener, ListenerId,
};
use crate::text::owner_text::safe;

/// See the module documentation.
#[derive(Debug)]
pub struct Page {
    /// The listener.
    pub listener: Listener,
    /// When it was first seen.
    pub first_seen_ns: u64,
    /// When it was closed, and the contents of its queues.
    pub closed: Option<(u64, Closed)>,
    /// The change of its `sk_drops` at the last reading, and the tool's count at that time.
    pub sk_drops: Option<(Range, u64)>,
    /// The kernel's totals, as last read.
    pub totals: Totals,
    /// The depth at each arrival, itself included.
    pub depth: Distribution,
    /// Waits of accepted connections, microseconds.
    pub wait: Distribution,
    /// The peaks of intervals in percent of the limit.
    pub peak_use: PeakUse,
    /// Refused clients with a record; retries are not counted again.
    pub(super) recorded_clients: u64,
    /// Clients that were refused without a record, detected when their connections were queued
    /// later.
    pub(super) returned_clients: u64,
    /// Refused clients that were accepted later.
    pub admitted: u64,
    /// The delays from their first refusal to the accept, microseconds.
    pub delay: Distribution,
    /// Refused clients whose outcome is final and is not an accept.
    pub ended: Ended,
    /// Runs of drops of any cause.
    pub episodes: Episodes,
    /// The simulated queue without a limit.
    pub unlimited: Unlimited,
    /// Periods without an accept although connections were queued.
    pub stalls: Stalls,
    /// Accepts with a connection already waiting, the pauses before them, and the stalls.
    pub paced: Paced,
    /// Known time with an empty queue, nanoseconds.
    pub idle_ns: u64,
    /// The longest known lower bound on the wait of a connection whose enqueue was not seen,
    /// microseconds.
    pub at_least_us: Option<u64>,
    /// Since when the oldest connection that was still queued at the end has been queued.
    pub oldest: Option<Oldest>,
    /// The last accept whose thread is known.
    pub last_accept: Option<LastAccept>,
    /// The threads that accept.
    pub workers: Workers,
    /// Failed calls of `accept()`, counted while a probe was attached.
    pub accept_errors: FailedAccepts,
    /// The state of the acceptors when nothing was last accepted for long.
    pub idle: Option<Box<Acceptor>>,
    /// When they were inspected for that; zero in earlier recordings.
    pub idle_seen_ns: u64,
    /// The listener that was closed at the same address before this one was opened.
    pub follows: Option<ListenerId>,
    /// Its number among the listeners that were open at its address together with it, from 1.
    pub member: u32,
    /// There was another member: they share the address.
    pub grouped: bool,
    /// A listener of another network namespace has, or had, this address.
    pub alike: bool,
    /// The times without an accept at refusals by a full queue.
    pub stall: Stall,
    /// Its limit has changed since it was first seen.
    pub limit_changed: bool,
    /// Its history, if an output draws it and anything happened.
    pub timeline: Option<Timeline>,
    /// The current depth: the kernel's last answer, plus the enqueues and accepts since.
    level: u32,
    recent_peak: u32,
    former_limits: FormerLimits,
    recent_wait: Distribution,
    counted: Totals,
    /// Figures from the counts since the last interval.
    fresh: Fresh,
    /// How long the queue had been empty when the last interval ended.
    empty_since_ns: u64,
    runs: [DropBurst; Cause::COUNT],
}

/// Clients that were refused and whose outcome is final without an accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// They have left.
    pub gave_up: u64,
    /// How many of these are connected only in their own view.
    pub believing: u64,
    /// The kernel has reset them.
    pub reset: u64,
}

/// Nanoseconds as microseconds, rounded up.
fn microseconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(1000)
}

impl Page {
    /// The page of a listener that has just been found.
    #[must_use]
    pub fn new(listener: Listener, time_ns: u64) -> Self {
        Self {
            first_seen_ns: time_ns,
            closed: None,
            sk_drops: None,
            totals: Totals::default(),
            depth: Distribution::of_depths(),
            wait: Distribution::of_waits(),
            peak_use: PeakUse::default(),
            recorded_clients: 0,
            returned_clients: 0,
            admitted: 0,
            delay: Distribution::of_waits(),
            ended: Ended::default(),
            episodes: Episodes::default(),
            unlimited: Unlimited::default(),
            stalls: Stalls::default(),
            paced: Paced::default(),
            idle_ns: 0,
            at_least_us: None,
            oldest: None,
            last_accept: None,
            workers: Workers::default(),
            accept_errors: FailedAccepts::default(),
            idle: None,
            idle_seen_ns: 0,
            follows: None,
            member: 1,
            grouped: false,
            alike: false,
            stall: Stall::default(),
            limit_changed: false,
            timeline: None,
            level: listener.depth,
            recent_peak: 0,
            former_limits: FormerLimits::default(),
            recent_wait: Distribution::of_waits(),
            counted: Totals::default(),
            fresh: Fresh::default(),
            empty_since_ns: 0,
            runs: [DropBurst::default(); Cause::COUNT],
            listener,
        }
    }

    /// Another source or scan reports the same listener.
    pub fn seen_again(&mut self, listener: &Listener, time_ns: u64) {
        self.limit_changed |= self.listener.limit != listener.limit;
        // A scan sees the change later.
        self.set_limit(listener.limit, listener.call.is_some().then_some(time_ns));
        let known = &mut self.listener;
        known.inode = listener.inode.or(known.inode);
        known.cookie = listener.cookie.or(known.cookie);
        known.reuseport = listener.reuseport.or(known.reuseport);
        known.v6_only |= listener.v6_only;
        known.opened_now |= listener.opened_now;
        known.cgroup = listener.cgroup.or(known.cgroup);
        if listener.call.is_some() {
            known.call.clone_from(&listener.call);
        }
    }

    /// The listener was closed.
    pub fn close(&mut self, time_ns: u64, closed: Closed) {
        self.closed = Some((time_ns, closed));
    }

    /// Records a change of its limit.
    pub fn limited(&mut self, limit: &Limit, time_ns: u64) {
        self.limit_changed |= limit.was != limit.now;
        self.set_limit(limit.now, Some(time_ns));
        if limit.call.is_some() {
            self.listener.call.clone_from(&limit.call);
        }
    }

    /// Records an inspection of the acceptors: when drops began, or because nothing was accepted
    /// for long.
    pub fn explain(&mut self, acceptor: &Acceptor, time_ns: u64) {
        if acceptor.idle {
            (self.idle, self.idle_seen_ns) = (Some(Box::new(acceptor.clone())), time_ns);
        } else {
            self.episodes.explain(acceptor);
        }
    }

    /// The kernel has reported the depth of its queue.
    pub fn level(&mut self, depth: u32, limit: u32) {
        self.level = depth;
        self.set_limit(limit, None);
    }

    /// Sets the limit, and the time of the change if it is known.
    fn set_limit(&mut self, limit: u32, time_ns: Option<u64>) {
        let was = std::mem::replace(&mut self.listener.limit, limit);
        if was != limit {
            self.former_limits.replaced(was, time_ns);
        }
    }

    /// Records a refused packet. Returns whether it begins a run of its cause, and an episode.
    pub fn refused(&mut self, drop: &DropEvent, time_ns: u64, new_client: bool) -> (bool, bool) {
        self.recorded_clients += u64::from(new_client);
        self.unlimited.saw(drop, time_ns);
        if drop.cause.is_by_limit() {
            let from_before = self.may_be_a_retry(time_ns);
            self.unlimited.refused(drop, time_ns, new_client, from_before);
            self.stalls.refused(drop, time_ns, new_client, self.unlimited.pause_ns());
            // Its slot may have belonged to another listener before.
            let accepted_ns = drop.accepted_ns;
            let own_ns = if accepted_ns < self.first_seen_ns { 0 } else { accepted_ns };
            self.stall.refused(time_ns, own_ns);
        }
        let episode = self.episodes.refused(time_ns, new_client);
        (self.runs[drop.cause as usize].note(time_ns, new_client), episode)
    }

    /// Records the enqueue of a client that was refused.
    pub fn admitted(&mut self, admitted: &Admitted, time_ns: u64, admission: Admission) {
        let is_own = !matches!(admission, Admission::Again | Admission::Elsewhere);
        self.unlimited.admitted(admitted, is_own);
        if let Admission::Returned { delay_ns } = admission {
            self.unlimited.syn.admitted(time_ns, delay_ns);
        }
        self.returned_clients += u64::from(admission == Admission::New);
    }

    /// Records the final outcome of a client that was refused.
    pub fn settled(&mut self, fate: Fate) {
        match fate {
            Fate::Admitted { delay_ns } => {
                self.admitted += 1;
                if let Some(delay_ns) = delay_ns {
                    let delay_us = microseconds(delay_ns).max(1);
                    self.delay.add(&vec![(bucket(delay_us - 1, WAITS), 1)], delay_us);
                }
            }
            Fate::GaveUp { believing } => {
                self.ended.gave_up += 1;
                self.ended.believing += u64::from(believing);
            }
            Fate::Reset => self.ended.reset += 1,
            Fate::Unknown => {}
        }
    }

    /// Applies a reading of the kernel's totals.
    pub fn count(&mut self, count: &Count, start_ns: u64) {
        let Count { totals, recent_peak, recent_longest_ns, waits, depths, last_accept, .. } =
            count;
        // Its slot may have belonged to another listener before.
        let last_accept = last_accept.filter(|last| last.time_ns >= self.first_seen_ns);
        self.last_accept = last_accept.or(self.last_accept);
        let came = totals.enqueued.saturating_sub(self.totals.enqueued);
        let went = totals.accepted.saturating_sub(self.totals.accepted);
        let level = came.saturating_add(self.level.into()).saturating_sub(went);
        self.level = u32::try_from(level).unwrap_or(u32::MAX);
        self.workers.add(&count.accepts, count.other_accepts);
        self.fresh.add(count);
        self.totals = *totals;
        self.recent_peak = self.recent_peak.max(*recent_peak);
        self.depth.add(depths, u64::from(totals.peak));
        self.wait.add(waits, microseconds(totals.longest_ns));
        self.recent_wait.add(waits, microseconds(*recent_longest_ns));
        if totals.longest_without_wait_ns != 0 {
            let at_least = totals.longest_without_wait_ns.saturating_sub(start_ns) / 1000;
            self.at_least_us = self.at_least_us.max(Some(at_least));
        }
    }

    /// The current depth.
    #[must_use]
    pub fn depth(&self) -> u32 {
        if self.closed.is_some() { 0 } else { self.level }
    }

    /// Its address, with its number if it is a member of a group.
    #[must_use]
    pub fn name(&self) -> String {
        let local = self.listener.local;
        if self.grouped { format!("{local} #{}", self.member) } else { local.to_string() }
    }

    /// Its name, with the network namespace if several have this address: `0.0.0.0:80 in blue`.
    #[must_use]
    pub fn full_name(&self) -> String {
        if !self.alike {
            return self.name();
        }
        let Listener { netns, identity, .. } = &self.listener;
        let place = identity.netns.as_deref().map_or_else(|| netns.to_string(), safe);
        format!("{} in {place}", self.name())
    }

    /// Time of the last known accept; zero: none.
    #[must_use]
    pub fn accepted_ns(&self) -> u64 {
        // Its slot may have belonged to another listener before.
        if self.fresh.accepted_ns < self.first_seen_ns { 0 } else { self.fresh.accepted_ns }
    }

    /// When the last drop of each cause was seen.
    pub(super) fn last_drops_ns(&self) -> [Option<u64>; Cause::COUNT] {
        self.runs.map(|run| run.last_ns())
    }

    /// Continues the runs of drops from these times.
    pub(super) fn restart_runs(&mut self, last_drops_ns: [Option<u64>; Cause::COUNT]) {
        self.runs = last_drops_ns.map(DropBurst::after);
    }

    /// The deepest queue and its time; connections that were queued when it was first seen count.
    #[must_use]
    pub fn peak(&self) -> (u32, u64) {
        if self.listener.depth > self.totals.peak {
            (self.listener.depth, self.first_seen_ns)
        } else {
            (self.totals.peak, self.totals.peak_ns)
        }
    }
}
