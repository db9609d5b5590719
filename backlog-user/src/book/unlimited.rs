//! The queue that there would have been without a limit: how deep it would have become, from
//! what really arrived, what was refused, and when the acceptor had nothing to do.
//! docs/SIZING.md states the model and what it assumes. Pure.
//!
//! What is kept is the *excess*: by how much that queue would be deeper than the real one. A
//! client's first refusal adds one to it, for there the client would have been queued. When it
//! gets in later it leaves the excess, for then it is in the real queue. As long as something
//! is in the real queue the acceptor does the same in both; while the real one is empty, it
//! would have gone on with the excess, at the rate that it had while there was work.

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;

/// What happened at a listener between two counts, in order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// A client was refused for the first time.
    First,
    /// One that was refused before has got in.
    Admitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    time_ns: u64,
    kind: Kind,
    depth: u32,
    idle_ns: u64,
}

/// A time in which the queue would have been deeper than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    /// When the first client was refused, and when the queue would have been deepest.
    pub(crate) begin_ns: u64,
    pub(crate) peak_ns: u64,
    /// How deep it would have become.
    pub(crate) peak: f64,
    /// Accepted connections of the intervals that it touches, and for how long anything was
    /// queued in them.
    pub(crate) accepted: u64,
    pub(crate) busy_ns: u64,
    /// Of these: those with work before them, the pauses before them, and the longest wait.
    paced: u64,
    paced_ns: u64,
    longest_ns: u64,
    /// Connections that were queued in them and had not been refused before.
    pub(crate) arrived: f64,
    /// Clients that were refused in it for the first time.
    pub(crate) refused: f64,
    /// When the last of these intervals ended.
    pub(crate) end_ns: u64,
    /// When the first of these intervals began.
    counted_since_ns: u64,
}

impl Stretch {
    /// Accepts per second while any were queued; none: nothing was accepted.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.accepted > 0 && self.busy_ns > 0)
            .then(|| self.accepted as f64 * 1e9 / self.busy_ns as f64)
    }

    /// How long the last one in that queue would have waited, nanoseconds; none: for ever, as
    /// far as is known.
    pub(crate) fn wait_ns(&self) -> Option<f64> {
        // A stall is in the waits that there were, not in the pace.
        let pause_ns = if self.paced > 0 {
            self.paced_ns as f64 / self.paced as f64
        } else {
            1e9 / self.rate()?
        };
        Some((self.peak * pause_ns).max(self.longest_ns as f64))
    }

    /// New clients per second, refused or not.
    pub(crate) fn needed_rate(&self) -> f64 {
        let elapsed_ns = self.end_ns.saturating_sub(self.counted_since_ns).max(1);
        (self.arrived + self.refused) * 1e9 / elapsed_ns as f64
    }

    /// It touches an interval.
    fn touches(&mut self, interval: &Interval) {
        let Interval { begin_ns, end_ns, busy_ns, accepted, paced, paced_ns, longest_ns, fresh } =
            *interval;
        if self.end_ns == 0 {
            self.counted_since_ns = begin_ns;
        }
        self.accepted += accepted;
        self.busy_ns += busy_ns;
        self.paced += paced;
        self.paced_ns += paced_ns;
        self.longest_ns = self.longest_ns.max(longest_ns);
        self.arrived += fresh;
        self.end_ns = end_ns;
    }

    /// How long it grew.
    pub(crate) fn growth_ns(&self) -> u64 {
        self.peak_ns.saturating_sub(self.begin_ns)
    }
}

/// The interval whose steps are taken.
#[derive(Clone, Copy, Debug)]
struct Interval {
    begin_ns: u64,
    end_ns: u64,
    busy_ns: u64,
    accepted: u64,
    paced: u64,
    paced_ns: u64,
    longest_ns: u64,
    /// Connections that were queued at their first try.
    fresh: f64,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unlimited {
    steps: Vec<Step>,
    excess: f64,
    idle_ns: Option<u64>,
    /// When the last step was, and how deep the queue.
    last: Option<(u64, u32)>,
    /// Accepts with work before them in the last intervals, and the pauses before them.
    paced: f64,
    paced_ns: f64,
    /// Of the time in which nothing is queued: the part in which the acceptor has nothing to
    /// do, and is not busy with one that it took at once.
    spare: f64,
    now: Option<Stretch>,
    /// The one in which the queue would have been deepest, and the one that grew longest.
    pub(crate) deepest: Option<Stretch>,
    pub(crate) longest: Option<Stretch>,
    /// Clients refused for the first time; of these: those that were only counted, so that
    /// how many clients they were is an estimate.
    pub(crate) firsts: f64,
    pub(crate) estimated: f64,
    /// Of this interval: refusals with a record, and the first ones of a client among them,
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
    /// The same from any moment on.
    pub(crate) idle_ns: u64,
    pub(crate) enqueued: u64,
    pub(crate) accepted: u64,
    /// Connections that found nothing queued.
    pub(crate) at_once: u64,
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

/// How much a refusal still counts at the next one: some 100 of them do.
const LATELY: f64 = 0.99;

impl Unlimited {
    /// A packet was refused; `first`: the client's first one.
    pub(crate) fn refused(&mut self, time_ns: u64, depth: u32, idle_ns: u64, first: bool) {
        self.told = self.told * LATELY + 1.0;
        self.told_firsts = self.told_firsts * LATELY + f64::from(u8::from(first));
        if first {
            self.step(Step { time_ns, kind: Kind::First, depth, idle_ns });
        }
    }

    /// A client that was refused before has got in.
    pub(crate) fn admitted(&mut self, time_ns: u64, depth: u32, idle_ns: u64) {
        self.step(Step { time_ns, kind: Kind::Admitted, depth, idle_ns });
    }

    fn step(&mut self, step: Step) {
        self.steps.push(step);
        if self.steps.len() >= MOST_STEPS {
            self.take_steps(None);
        }
    }

    /// An interval was counted: now it is known how fast the acceptor was in it.
    /// `waits`: of those that were accepted in it, in microseconds.
    pub(crate) fn counted(&mut self, counted: &Counted, waits: &Distribution) {
        let Counted { time_ns, elapsed_ns, idle_ns, enqueued, untold, limit, .. } = *counted;
        if counted.paced > 0 {
            self.paced = self.paced * MEMORY + counted.paced as f64;
            self.paced_ns = self.paced_ns * MEMORY + counted.paced_ns as f64;
        }
        self.spare = self.spare(counted, waits);
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
            self.first(firsts, time_ns, limit.saturating_add(1), Some(&interval));
        }
        self.idle(idle_ns);
        (self.told, self.told_firsts) = (0.0, 0.0);
        if self.excess <= 0.0 {
            self.end_stretch();
        }
    }

    /// The part of the empty time of an interval in which the acceptor has nothing to do.
    ///
    /// With each connection that is taken at once, and with the last of a queue, it is busy
    /// while nothing is queued: for a pause of its pace, or until the next one comes. Who comes
    /// in that time waits for the rest of it, and nobody else waits for less than a pause.
    /// So what is missing in those short waits is what it was busy for. It is not more than
    /// where clients know nothing of each other, for a wait may also be the acceptor's way out
    /// of its sleep.
    fn spare(&self, counted: &Counted, waits: &Distribution) -> f64 {
        if self.paced <= 0.0 || counted.empty_ns == 0 {
            return 1.0;
        }
        let each_ns = self.paced_ns / self.paced;
        let (empty_ns, whole_ns) = (counted.empty_ns as f64, counted.at_once as f64 * each_ns);
        let short_ns = waits.sum_up_to(each_ns / 1000.0) * 1000.0;
        let spare = 1.0 - (whole_ns - short_ns).max(0.0) / empty_ns;
        spare.clamp(0.0, (-whole_ns / empty_ns).exp())
    }

    /// The two that matter, and the one that goes on.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Stretch> {
        [self.deepest, self.longest, self.now].into_iter().flatten()
    }

    /// Takes what has happened so far; the interval is that of the steps, if it is counted.
    fn take_steps(&mut self, interval: Option<&Interval>) {
        let steps = std::mem::take(&mut self.steps);
        for Step { time_ns, kind, depth, idle_ns } in &steps {
            let empty_ns = self.idle(*idle_ns);
            self.recover(*time_ns, empty_ns);
            match kind {
                Kind::First => self.first(1.0, *time_ns, *depth, interval),
                Kind::Admitted => self.excess -= 1.0,
            }
            // That queue is not shorter than nothing.
            self.excess = self.excess.max(-f64::from(*depth));
            self.last = Some((*time_ns, *depth));
        }
        self.steps = steps;
        self.steps.clear();
    }

    /// Clients are refused for the first time, at a queue that is so deep.
    fn first(&mut self, clients: f64, time_ns: u64, depth: u32, interval: Option<&Interval>) {
        self.firsts += clients;
        self.excess += clients;
        let depth = f64::from(depth) + self.excess;
        let fresh = self.now.is_none();
        if self.excess <= 0.0 && fresh {
            return;
        }
        let now = self.now.get_or_insert(Stretch { begin_ns: time_ns, ..Stretch::default() });
        if fresh && let Some(interval) = interval {
            now.touches(interval);
        }
        now.refused += clients;
        if depth > now.peak {
            (now.peak, now.peak_ns) = (depth, time_ns);
        }
    }

    /// Clients that came back hold the acceptor up where that queue would be empty: as they
    /// are taken, the real queue is less too long.
    fn recover(&mut self, time_ns: u64, empty_ns: u64) {
        if self.excess >= 0.0 || self.paced_ns <= 0.0 {
            return;
        }
        let Some((last_ns, depth)) = self.last else { return };
        let worked_ns = time_ns.saturating_sub(last_ns).saturating_sub(empty_ns);
        let taken = worked_ns as f64 * self.paced / self.paced_ns;
        self.excess = self.excess.max((taken - f64::from(depth)).min(0.0));
    }

    /// The real queue has been empty for so long in all. How long since the last step.
    fn idle(&mut self, idle_ns: u64) -> u64 {
        let before = self.idle_ns.replace(idle_ns);
        let empty_ns = before.map_or(0, |before| idle_ns.saturating_sub(before));
        if empty_ns == 0 {
            return 0;
        }
        if self.paced_ns > 0.0 {
            let taken = empty_ns as f64 * self.spare * self.paced / self.paced_ns;
            self.excess = (self.excess - taken).max(0.0);
        } else {
            self.excess = self.excess.max(0.0);
        }
        if self.excess <= 0.0 {
            self.end_stretch();
        }
        empty_ns
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
