//! The number to set, or what to do instead, and why: a verdict on one listener. Pure;
//! docs/SIZING.md says what it rests on.

mod words;

use backlog_ebpf::cause::Cause;

use super::group::Unbalanced;
use super::page::Page;
use super::unlimited::{Stretch, Unlimited};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: the limit was enough.
    Fits,
    /// A larger queue would have taken the burst.
    Raise,
    /// No queue helps: clients come faster than they are accepted.
    AddWorkers,
    /// A member of a `SO_REUSEPORT` group waits or drops while others have room.
    Unbalanced,
    /// Nothing can be said.
    NotEnoughData,
}

impl Verdict {
    /// The name in JSON and in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Raise => "raise",
            Self::AddWorkers => "add_workers",
            Self::Unbalanced => "unbalanced",
            Self::NotEnoughData => "not_enough_data",
        }
    }
}

/// How much was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confidence {
    /// Little: run it for longer, or under more load.
    Low,
    /// Something.
    Medium,
    /// Much.
    High,
}

impl Confidence {
    /// The name in JSON and in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What the verdict depends on beside the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// How long a client waits before it gives up.
    pub(crate) client_timeout_ns: u64,
    /// `net.core.somaxconn` of the listener's namespace, now.
    pub(crate) somaxconn: Option<u32>,
    /// Kernel memory of a queued connection.
    pub(crate) entry_bytes: Option<u64>,
    /// How long was looked.
    pub(crate) elapsed_ns: u64,
    /// It waits or drops while other members of its group have room.
    pub(crate) unbalanced: Option<Unbalanced>,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sizing {
    pub(crate) verdict: Verdict,
    pub(crate) confidence: Confidence,
    /// The backlog to pass to `listen()`.
    pub(crate) backlog: Option<u32>,
    /// What `net.core.somaxconn` has to be at least, if it is less.
    pub(crate) somaxconn: Option<u32>,
    /// The smallest limit that would have refused nobody, as far as is known.
    pub(crate) smallest_limit: Option<u32>,
    /// How much of the limit was never used, percent.
    pub(crate) headroom_percent: Option<u32>,
    /// How deep a queue without a limit would have become.
    pub(crate) needed_depth: Option<u64>,
    /// How long the last one in it would have waited.
    pub(crate) wait_ns: Option<u64>,
    /// The most memory that a full queue of that backlog takes.
    pub(crate) memory_bytes: Option<u64>,
    /// Accepts per second while there was work, and new clients per second.
    pub(crate) accept_rate: Option<f64>,
    pub(crate) needed_rate: Option<f64>,
    /// When that began, and how long it went on.
    pub(crate) since_ns: Option<u64>,
    pub(crate) lasted_ns: Option<u64>,
    /// Who must call `listen()` again.
    pub(crate) restart: Option<String>,
    /// Of the refused clients: how many were only estimated.
    pub(crate) estimated_clients: u64,
    /// The verdict and its reason, in sentences.
    pub(crate) why: String,
}

/// Fewer connections say nothing.
const FEW: u64 = 20;

/// What is added to what was needed: two bursts are never the same.
const MARGIN: f64 = 0.1;

/// The largest backlog that `listen()` can pass.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// The verdict on a listener.
pub(crate) fn of(page: &Page, given: &Given) -> Sizing {
    let unlimited = &page.unlimited;
    let verdict = judge(page, unlimited, given);
    let mut sizing = Sizing {
        verdict,
        confidence: confidence(page, unlimited, given),
        backlog: None,
        somaxconn: None,
        smallest_limit: None,
        headroom_percent: None,
        needed_depth: None,
        wait_ns: None,
        memory_bytes: None,
        accept_rate: None,
        needed_rate: None,
        since_ns: None,
        lasted_ns: None,
        restart: None,
        estimated_clients: whole(unlimited.estimated),
        why: String::new(),
    };
    match verdict {
        Verdict::Fits => {
            let (peak, limit) = (page.peak().0, page.listener.limit);
            // A SYN is refused where the depth is above the limit.
            sizing.smallest_limit = Some(peak.min(limit));
            let spare = u64::from(limit.saturating_sub(peak)) * 100 / u64::from(limit.max(1));
            sizing.headroom_percent = u32::try_from(spare).ok();
        }
        Verdict::Raise => sizing.raise(page, given),
        Verdict::AddWorkers => {
            if let Some(worst) = worst(unlimited, given) {
                sizing.stretch(&worst);
            }
        }
        Verdict::Unbalanced | Verdict::NotEnoughData => {}
    }
    sizing.why = words::why(&sizing, page, given);
    sizing
}

impl Sizing {
    fn raise(&mut self, page: &Page, given: &Given) {
        let Some(deepest) = page.unlimited.stretches().max_by(|a, b| a.peak.total_cmp(&b.peak))
        else {
            return;
        };
        self.stretch(&deepest);
        let smallest = least(deepest.peak.ceil());
        // A limit of L holds L + 1.
        let backlog = least((deepest.peak * (1.0 + MARGIN)).ceil() - 1.0).max(smallest);
        self.backlog = Some(backlog);
        self.smallest_limit = Some(smallest);
        self.somaxconn = given.somaxconn.filter(|set| *set < backlog).map(|_| backlog);
        self.memory_bytes = given.entry_bytes.map(|bytes| bytes * (u64::from(backlog) + 1));
        self.restart = page.listener.process().map(|who| who.to_string());
    }

    fn stretch(&mut self, stretch: &Stretch) {
        self.needed_depth = Some(whole(stretch.peak.ceil()));
        self.wait_ns = stretch.wait_ns().map(whole);
        self.accept_rate = Some(stretch.rate().unwrap_or(0.0));
        self.needed_rate = Some(stretch.needed_rate());
        self.since_ns = Some(stretch.begin_ns);
        self.lasted_ns = Some(stretch.growth_ns());
    }
}

/// The nearest number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is too large or no number becomes the nearest that there is"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// As much as a backlog.
fn least(depth: f64) -> u32 {
    u32::try_from(whole(depth).max(1)).map_or(LARGEST, |depth| depth.min(LARGEST))
}

/// Clients that a larger limit would have let in.
pub(super) fn by_limit(page: &Page) -> u64 {
    Cause::ALL
        .iter()
        .filter(|cause| is_by_limit(**cause))
        .map(|one| page.totals.drops[*one as usize])
        .sum()
}

/// Does the limit refuse such a packet? (The SYN queue has the same one.)
pub(crate) fn is_by_limit(cause: Cause) -> bool {
    match cause {
        Cause::AcceptQueueFullSyn
        | Cause::AcceptQueueFullAck
        | Cause::AcceptQueueFullCookie
        | Cause::AcceptQueueFullReset
        | Cause::SynQueueFull => true,
        Cause::LastQuarter | Cause::NoChild | Cause::ListenerLeft | Cause::Other => false,
    }
}

fn judge(page: &Page, unlimited: &Unlimited, given: &Given) -> Verdict {
    if given.unbalanced.is_some() {
        return Verdict::Unbalanced;
    }
    let refused = by_limit(page);
    if refused == 0 {
        let seen = page.totals.enqueued + u64::from(page.peak().0);
        return if seen < FEW { Verdict::NotEnoughData } else { Verdict::Fits };
    }
    // Their records were lost: when it was, and who, is not known.
    if unlimited.firsts < 0.5 {
        return Verdict::NotEnoughData;
    }
    // It ended in the middle of it.
    if unlimited
        .stretches()
        .all(|one| one.rate().is_none() && one.growth_ns() <= given.client_timeout_ns)
    {
        return Verdict::NotEnoughData;
    }
    if worst(unlimited, given).is_some() { Verdict::AddWorkers } else { Verdict::Raise }
}

/// The stretch that no queue could have taken: it went on for longer than a client waits, or
/// the last one in that queue would have waited longer.
fn worst(unlimited: &Unlimited, given: &Given) -> Option<Stretch> {
    let timeout_ns = given.client_timeout_ns;
    let hopeless = |one: &Stretch| {
        one.growth_ns() > timeout_ns || one.wait_ns().is_some_and(|wait| wait > timeout_ns as f64)
    };
    unlimited.stretches().filter(hopeless).max_by(|a, b| a.peak.total_cmp(&b.peak))
}

fn confidence(page: &Page, unlimited: &Unlimited, given: &Given) -> Confidence {
    let lost: u64 = page.totals.lost.iter().sum();
    let guessed = unlimited.estimated > 0.1 * unlimited.firsts || lost > 0;
    if by_limit(page) > 0 {
        return match page.episodes.count() {
            _ if guessed => Confidence::Low,
            0 | 1 => Confidence::Low,
            2 | 3 => Confidence::Medium,
            _ => Confidence::High,
        };
    }
    let seconds = given.elapsed_ns / 1_000_000_000;
    match page.totals.enqueued {
        1000.. if seconds >= 60 => Confidence::High,
        100.. if seconds >= 5 => Confidence::Medium,
        _ => Confidence::Low,
    }
}

#[cfg(test)]
mod tests;
