//! The queue that there would have been without a limit: how deep it would have become, from
//! what really arrived, what was refused, and when the acceptor had nothing to do.
//! docs/SIZING.md states the model and what it assumes. Pure.
//!
//! What is kept is the *excess*: by how much that queue would be deeper than the real one. A
//! client's first refusal adds one to it, for there the client would have been queued. When it
//! gets in later it leaves the excess, for then it is in the real queue. As long as something
//! is in the real queue the acceptor does the same in both; while it has nothing to do, it
//! would have gone on with the excess, at the rate that it had while there was work.

mod stretch;

use backlog_ebpf::distribution::NO_TROUGH;
use serde::{Deserialize, Serialize};

use self::stretch::Interval;
pub(crate) use self::stretch::Stretch;

/// What happened at a listener between two counts, in order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// A client was refused for the first time.
    First,
    /// One that was refused before has got in.
    Admitted,
}

/// The state of a queue when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) time_ns: u64,
    pub(crate) depth: u32,
    /// How long the acceptor had had nothing to do, from any moment on.
    pub(crate) free_ns: u64,
    /// When it had accepted last; zero: never.
    pub(crate) accepted_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    kind: Kind,
    moment: Moment,
    /// The least depth that arrivals have found since the step before.
    trough: u32,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)] // Earlier recordings know less.
pub(crate) struct Unlimited {
    steps: Vec<Step>,
    /// The least depth that arrivals have found since the last step.
    trough: u32,
    excess: f64,
    /// The acceptor's free time as the kernel had added it up last, and what was taken for
    /// free since the accept before.
    free_ns: Option<u64>,
    ahead_ns: f64,
    /// Accepts with work before them in the last intervals, and the pauses before them.
    paced: f64,
    paced_ns: f64,
    now: Option<Stretch>,
    /// The one in which the queue would have been deepest, and the one that grew longest.
    pub(crate) deepest: Option<Stretch>,
    pub(crate) longest: Option<Stretch>,
    /// Clients refused for the first time; of these: those that were only counted, so that
    /// how many clients they were is an estimate.
    pub(crate) firsts: f64,
    pub(crate) estimated: f64,
    /// Refusals with a record, and the first ones of a client among them,
    /// the later ones counting more.
    told: f64,
    told_firsts: f64,
}

/// What an interval has brought beside the steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) time_ns: u64,
    pub(crate) elapsed_ns: u64,
    /// How long nothing was queued in it.
    pub(crate) empty_ns: u64,
    /// How long the acceptor had nothing to do before arrivals, from any moment on.
    pub(crate) free_ns: u64,
    /// How long nothing has been queued since the last accept.
    pub(crate) since_ns: u64,
    pub(crate) enqueued: u64,
    pub(crate) accepted: u64,
    /// Accepts with work before them, and the pauses before them.
    pub(crate) paced: u64,
    pub(crate) paced_ns: u64,
    /// The longest wait.
    pub(crate) longest_ns: u64,
    /// Refusals without a record.
    pub(crate) untold: u64,
    pub(crate) limit: u32,
}

/// Steps that are kept until their interval is counted. (Drop records are limited; this is a
/// bound on memory where intervals are long.)
const MOST_STEPS: usize = 16_384;

/// How much of what was known of the acceptor's rate counts when an interval with work ends.
const MEMORY: f64 = 0.5;

/// One pause takes no second connection out of the queue.
const NEARLY_ALL: f64 = 0.999;

/// So many pauses, or a stall, say nothing of where the acceptor would be in the other queue.
const LONG: f64 = 1.5;

/// How much a refusal still counts at the next one: some 100 of them do.
const LATELY: f64 = 0.99;

impl Default for Unlimited {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            trough: NO_TROUGH,
            excess: 0.0,
            free_ns: None,
            ahead_ns: 0.0,
            paced: 0.0,
            paced_ns: 0.0,
            now: None,
            deepest: None,
            longest: None,
            firsts: 0.0,
            estimated: 0.0,
            told: 0.0,
            told_firsts: 0.0,
        }
    }
}

impl Unlimited {
    /// Arrivals have found a depth that is not below this one.
    pub(crate) fn found(&mut self, trough: u32) {
        self.trough = self.trough.min(trough);
    }

    /// A packet was refused; `first`: the client's first one.
    pub(crate) fn refused(&mut self, moment: Moment, first: bool) {
        self.told = self.told * LATELY + 1.0;
        self.told_firsts = self.told_firsts * LATELY + f64::from(u8::from(first));
        if first {
            self.step(Kind::First, moment);
        }
    }

    /// A client that was refused before has got in.
    pub(crate) fn admitted(&mut self, moment: Moment) {
        self.step(Kind::Admitted, moment);
    }

    fn step(&mut self, kind: Kind, moment: Moment) {
        let trough = std::mem::replace(&mut self.trough, NO_TROUGH);
        self.steps.push(Step { kind, moment, trough });
        if self.steps.len() >= MOST_STEPS {
            self.take_steps(None);
        }
    }

    /// An interval was counted: now it is known how fast the acceptor was in it.
    pub(crate) fn counted(&mut self, counted: &Counted) {
        let Counted { time_ns, elapsed_ns, free_ns, since_ns, enqueued, untold, limit, .. } =
            *counted;
        if counted.paced > 0 {
            self.paced = self.paced * MEMORY + counted.paced as f64;
            self.paced_ns = self.paced_ns * MEMORY + counted.paced_ns as f64;
        }
        let admitted = self.steps.iter().filter(|step| step.kind == Kind::Admitted).count() as f64;
        let interval = Interval {
            begin_ns: time_ns.saturating_sub(elapsed_ns),
            end_ns: time_ns,
            busy_ns: elapsed_ns.saturating_sub(counted.empty_ns),
            accepted: counted.accepted,
            paced: counted.paced,
            paced_ns: counted.paced_ns,
            longest_ns: counted.longest_ns,
            fresh: (enqueued as f64 - admitted).max(0.0),
        };
        if let Some(now) = &mut self.now {
            now.touches(&interval);
        }
        self.take_steps(Some(&interval));
        if untold > 0 {
            // As many of them are clients as of those that had a record last: in a burst the
            // first are clients, and those behind them their retries.
            let share = if self.told > 0.0 { self.told_firsts / self.told } else { 1.0 };
            let firsts = untold as f64 * share;
            self.estimated += firsts;
            let depth = f64::from(limit) + 1.0;
            self.first(firsts, time_ns, depth, 0.0, Some(&interval));
        }
        let pause_ns = if self.paced > 0.0 { self.paced_ns / self.paced } else { 0.0 };
        self.free(free_ns, (since_ns as f64 - pause_ns).max(0.0));
        if self.excess <= 0.0 {
            self.end_stretch();
        }
    }

    /// The two that matter, and the one that goes on.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Stretch> {
        [self.deepest, self.longest, self.now].into_iter().flatten()
    }

    /// Takes what has happened so far; the interval is that of the steps, if it is counted.
    fn take_steps(&mut self, interval: Option<&Interval>) {
        let steps = std::mem::take(&mut self.steps);
        for Step { kind, moment, trough } in &steps {
            self.free(moment.free_ns, 0.0);
            // That queue is never shorter than nothing, nor was it when the real one was
            // shortest: clients that came back hold the acceptor up where it would be empty.
            self.excess = self.excess.max(-f64::from((*trough).min(moment.depth)));
            match kind {
                Kind::First => {
                    let depth = f64::from(moment.depth);
                    self.first(1.0, moment.time_ns, depth, self.begun(moment), interval);
                }
                Kind::Admitted => {
                    self.excess = (self.excess - 1.0).max(-f64::from(moment.depth));
                }
            }
        }
        self.steps = steps;
        self.steps.clear();
    }

    /// How much of its pause the acceptor has behind it with the one that it took last.
    fn begun(&self, moment: &Moment) -> f64 {
        if moment.accepted_ns == 0 {
            return 0.0;
        }
        let begun = self.pauses(moment.time_ns.saturating_sub(moment.accepted_ns) as f64);
        if begun > LONG { 0.0 } else { begun.min(NEARLY_ALL) }
    }

    /// A time in pauses of the acceptor's; none where its pace is not known.
    fn pauses(&self, time_ns: f64) -> f64 {
        if self.paced_ns > 0.0 { time_ns * self.paced / self.paced_ns } else { 0.0 }
    }

    /// Clients are refused for the first time, at a queue that is so deep, when so much of a
    /// pause had passed.
    fn first(
        &mut self,
        clients: f64,
        time_ns: u64,
        depth: f64,
        begun: f64,
        interval: Option<&Interval>,
    ) {
        self.firsts += clients;
        self.excess += clients;
        let fresh = self.now.is_none();
        if self.excess <= 0.0 && fresh {
            return;
        }
        // The excess is less by all the work that the acceptor had time for. But those are whole
        // connections: the one that it would be at has left the queue only if it was taken
        // before the one that it is at.
        let depth = depth + (self.excess - begun).ceil();
        let now = self.now.get_or_insert(Stretch::from(time_ns));
        if fresh && let Some(interval) = interval {
            now.touches(interval);
        }
        now.refused += clients;
        if depth > now.peak {
            (now.peak, now.peak_ns) = (depth, time_ns);
        }
    }

    /// So long has the acceptor had nothing to do in all, as the kernel adds it up when
    /// somebody comes, and for so long now.
    fn free(&mut self, free_ns: u64, since_ns: f64) {
        let before = self.free_ns.replace(free_ns);
        let mut more_ns = before.map_or(0.0, |before| free_ns.saturating_sub(before) as f64);
        if more_ns > 0.0 {
            more_ns = (more_ns - self.ahead_ns).max(0.0);
            self.ahead_ns = 0.0;
        }
        if since_ns > self.ahead_ns {
            more_ns += since_ns - self.ahead_ns;
            self.ahead_ns = since_ns;
        }
        if more_ns <= 0.0 {
            return;
        }
        self.excess = (self.excess - self.pauses(more_ns)).max(0.0);
        if self.excess <= 0.0 {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        let Some(now) = self.now.take() else { return };
        if self.deepest.is_none_or(|deepest| now.peak > deepest.peak) {
            self.deepest = Some(now);
        }
        if self.longest.is_none_or(|longest| now.growth_ns() > longest.growth_ns()) {
            self.longest = Some(now);
        }
    }
}
