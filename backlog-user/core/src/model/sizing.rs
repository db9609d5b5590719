//! Sizes a listener: the backlog to set, or what to do instead, and why. Pure; docs/SIZING.md
//! describes the model.

mod judge;
mod late;
mod need;
mod verdict;
mod words;

use self::judge::{confidence, judge, paused, stalled, worst};
use self::late::Late;
use self::need::Need;
pub use self::verdict::Verdict;
use backlog_ebpf::cause::Cause;

use super::group::Unbalanced;
use super::page::Page;
use super::unlimited::{Stretch, Unlimited};

/// The confidence in a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Little data: run for longer, or under more load.
    Low,
    /// Some data.
    Medium,
    /// Much data.
    High,
}

impl Confidence {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The name in JSON and in the summary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Inputs of the verdict in addition to the page.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// The client timeout.
    pub client_timeout_ns: u64,
    /// The current `net.core.somaxconn` of the listener's namespace.
    pub somaxconn: Option<u32>,
    /// Kernel memory of a queued connection.
    pub entry_bytes: Option<u64>,
    /// The duration of the run.
    pub elapsed_ns: u64,
    /// It waits or drops while other members of its group have room.
    pub unbalanced: Option<Unbalanced>,
    /// Some of its clients are filtered out by their family.
    pub partial: bool,
    /// The end of the run, or of the listener.
    pub end_ns: u64,
    /// `net.ipv4.tcp_syncookies` of the listener's namespace. With 2, cookies say nothing about
    /// room in the SYN queue.
    pub syncookies: Option<u8>,
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// What to do.
    pub verdict: Verdict,
    /// The confidence.
    pub confidence: Confidence,
    /// The backlog to pass to `listen()`.
    pub backlog: Option<u32>,
    /// The minimum for `net.core.somaxconn`, if it is lower.
    pub somaxconn: Option<u32>,
    /// The smallest limit that would have refused no client, as far as is known.
    pub smallest_limit: Option<u32>,
    /// The largest backlog whose last client is accepted within the client timeout.
    pub largest_backlog: Option<u32>,
    /// The part of the limit that was never used, percent.
    pub headroom_percent: Option<u32>,
    /// The depth that a queue without a limit would have reached.
    pub needed_depth: Option<u64>,
    /// The length that the SYN queue would have reached, if it was too short.
    pub needed_syn_queue: Option<u64>,
    /// The kind of traffic behind SYN cookies sent for lack of room.
    pub cookies: Option<Cookies>,
    /// How long the last connection in that queue would have waited.
    pub wait_ns: Option<u64>,
    /// The most memory that a full queue of that backlog takes.
    pub memory_bytes: Option<u64>,
    /// Accepts per second while the queue grew.
    pub accept_rate: Option<f64>,
    /// Accepts per second that are needed.
    pub needed_rate: Option<f64>,
    /// The ratio of the needed rate to the rate reached, rounded up to tenths, at least 1.1.
    pub times: Option<f64>,
    /// When the overload or stall began.
    pub since_ns: Option<u64>,
    /// Its duration.
    pub lasted_ns: Option<u64>,
    /// Who must call `listen()` again; none: unknown, or the listener has closed.
    pub restart: Option<String>,
    /// How many of the refused clients are only an estimate.
    pub estimated_clients: u64,
    /// The verdict and its reason, in sentences.
    pub why: String,
}

/// The kind of traffic behind SYN cookies sent because the SYN queue was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Most of them were answered, so they were clients.
    Load,
    /// Most of them were not answered.
    Attack,
}

impl Cookies {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Load, Self::Attack];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Attack => "attack",
        }
    }
}

/// The largest backlog that `listen()` can pass.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// The basis of a verdict.
struct Seen<'a> {
    page: &'a Page,
    given: &'a Given,
    unlimited: Unlimited,
    /// Packets that the limit refused, except those of a SYN flood.
    refused: u64,
    need: Need,
    late: Late,
    /// The start of a time without an accept, far longer than usual, that lasts until the end.
    stalled_since_ns: Option<u64>,
    /// A time without an accept that ended before the end of the run and refused no client, but
    /// made clients wait too long: its start, and a time until which it lasted at least.
    paused: Option<(u64, u64)>,
}

impl<'a> Seen<'a> {
    fn of(page: &'a Page, given: &'a Given) -> Self {
        let unlimited = page.unlimited_at_end();
        let need = Need::of(page, &unlimited, given);
        let late = Late::of(page, given);
        let mut refused = page.refused_by_present_limit();
        if need.flood {
            refused = refused.saturating_sub(page.totals.drops[Cause::SynQueueFull as usize]);
        }
        let (stalled_since_ns, paused) = (stalled(page, given), paused(page, &late, refused));
        Self { page, given, unlimited, refused, need, late, stalled_since_ns, paused }
    }
}

/// The verdict on a listener.
#[must_use]
pub fn of(page: &Page, given: &Given) -> Sizing {
    let seen = Seen::of(page, given);
    let verdict = judge(&seen);
    let confidence = confidence(&seen);
    let mut sizing = Sizing {
        verdict,
        confidence,
        backlog: None,
        somaxconn: None,
        smallest_limit: None,
        largest_backlog: None,
        headroom_percent: None,
        needed_depth: None,
        needed_syn_queue: seen.need.syn_queue.filter(|_| !given.partial),
        cookies: seen.need.cookies,
        wait_ns: None,
        memory_bytes: None,
        accept_rate: None,
        needed_rate: None,
        times: None,
        since_ns: None,
        lasted_ns: None,
        restart: None,
        estimated_clients: round_to_u64(seen.unlimited.estimated),
        why: String::new(),
    };
    match verdict {
        Verdict::Fits => sizing.fits(page),
        Verdict::Raise => sizing.raise(&seen),
        Verdict::AddWorkers => sizing.add_workers(&seen),
        Verdict::AcceptorStalled => sizing.stalled(&seen),
        Verdict::Unbalanced | Verdict::NotEnoughData => {}
    }
    sizing.why = words::why(&sizing, &seen);
    sizing
}

impl Sizing {
    fn fits(&mut self, page: &Page) {
        let limit = page.listener.limit;
        // A SYN is refused if the depth is above the limit, or if the SYN queue has reached it.
        let most = page.peak().0.max(page.totals.syn_queue_peak);
        self.smallest_limit = Some(most.min(limit));
        let spare = u64::from(limit.saturating_sub(most)) * 100 / u64::from(limit.max(1));
        self.headroom_percent = u32::try_from(spare).ok();
    }

    fn raise(&mut self, seen: &Seen<'_>) {
        let Seen { page, given, need, .. } = seen;
        if let Some(deepest) = need.deepest {
            // No rate of the whole run: a larger backlog is for a moment that differs from it.
            self.grew(&deepest, deepest.rate());
            self.wait_ns = need.wait_ns.map(round_to_u64);
        }
        let smallest = need.smallest(page.listener.limit);
        let backlog = need.backlog(smallest, self.confidence);
        self.backlog = Some(backlog);
        self.smallest_limit = Some(smallest);
        self.somaxconn = given.somaxconn.filter(|set| *set < backlog).map(|_| backlog);
        self.memory_bytes =
            given.entry_bytes.map(|bytes| bytes.saturating_mul(u64::from(backlog) + 1));
        let process = page.listener.process().filter(|_| page.closed.is_none());
        self.restart = process.map(|who| who.to_string());
    }

    fn add_workers(&mut self, seen: &Seen<'_>) {
        let Seen { page, given, need, late, unlimited, .. } = seen;
        let deepest = need.deepest.filter(|_| seen.refused > 0);
        if let Some(worst) = worst(unlimited, need, given).or(deepest) {
            self.grew_most(seen, &worst);
            // The rate that the verdict states gives the wait; the longest real wait is a lower
            // bound.
            let at_rate = self.accept_rate.map(|rate| worst.peak / rate * 1e9);
            let wait_ns = at_rate.or(need.wait_ns).map(round_to_u64);
            self.wait_ns = wait_ns.map(|wait_ns| wait_ns.max(page.totals.longest_ns));
        } else if let Some(growth) = late.growth {
            if growth.lasted_ns > given.client_timeout_ns {
                (self.needed_rate, self.accept_rate) = growth.rates().unzip();
            } else if !growth.is_pause(page.paced.pause_ns()) {
                // A burst is over before many of its clients are accepted.
                self.accept_rate = page.paced.rate();
                self.needed_rate =
                    self.accept_rate.zip(growth.rates()).map(|(rate, (came, _))| came.max(rate));
            }
            self.needed_depth = Some(growth.depth);
            self.since_ns = Some(growth.since_ns);
            self.lasted_ns = Some(growth.lasted_ns);
            self.wait_ns = Some(page.totals.longest_ns).filter(|wait_ns| *wait_ns > 0);
        }
        let Some(rate) = self.accept_rate.filter(|rate| *rate > 0.0) else {
            self.accept_rate = None;
            return;
        };
        let timeout_s = late.timeout_ns(given) as f64 / 1e9;
        if !late.is_patience_unknown() {
            self.largest_backlog = Some(least((rate * timeout_s).floor()));
        }
        if unlimited.from_before {
            // It is unknown how many clients came.
            (self.needed_rate, self.needed_depth, self.wait_ns) = (None, None, None);
            return;
        }
        self.in_time(seen);
        self.times = self.needed_rate.filter(|_| rate > 0.0).map(|needed| in_tenths(needed / rate));
    }

    fn stalled(&mut self, seen: &Seen<'_>) {
        let end_ns = seen.given.end_ns;
        let stall = seen.stalled_since_ns.map(|since_ns| (since_ns, end_ns));
        if let Some((since_ns, until_ns)) = stall.or(seen.paused).or(seen.page.stalls.longest) {
            self.since_ns = Some(since_ns);
            self.lasted_ns = Some(until_ns.saturating_sub(since_ns));
        }
        // Whether more would have arrived later is unknown.
        if seen.paused.is_some() {
            self.needed_depth = seen.late.growth.map(|growth| growth.depth);
        } else if stall.is_none() {
            self.needed_depth = seen.need.deepest.map(|deepest| round_to_u64(deepest.peak.ceil()));
        }
    }

    /// The rates of a surge. The limit decides when the first client is refused, and so when the
    /// surge begins: the time in which the real queue filled up belongs to the overload, too. But a
    /// burst may follow a long time of little load. So the more demanding of the two rates counts.
    fn grew_most(&mut self, seen: &Seen<'_>, surge: &Stretch) {
        let filling = seen.late.growth.and_then(|growth| growth.filling());
        let in_all = filling
            .zip(seen.page.paced.pause_ns())
            .and_then(|(filling, pause_ns)| surge.since_empty(filling, pause_ns));
        let times = |surge: &Stretch| {
            let mut sizing = self.clone();
            sizing.grew(surge, seen.need.rate_of(surge));
            sizing.in_time(seen);
            sizing.needed_rate.zip(sizing.accept_rate).map_or(0.0, |(needed, rate)| needed / rate)
        };
        let alone = times(surge);
        let most = in_all.filter(|in_all| times(in_all) > alone).unwrap_or(*surge);
        self.grew(&most, seen.need.rate_of(&most));
    }

    /// Lowers the needed rate to what a burst needs: its last client must be accepted before it
    /// gives up. If the queue still grew at the end, more clients would have come.
    fn in_time(&mut self, seen: &Seen<'_>) {
        let Seen { given, unlimited, late, .. } = seen;
        let timeout_s = late.timeout_ns(given) as f64 / 1e9;
        if let (Some(rate), Some(lasted_ns), Some(depth)) =
            (self.accept_rate, self.lasted_ns, self.needed_depth)
            && lasted_ns <= given.client_timeout_ns
            && !unlimited.grows_until(given.end_ns)
        {
            let grew_s = lasted_ns as f64 / 1e9;
            let in_time = (depth as f64 + rate * grew_s) / (timeout_s + grew_s);
            self.needed_rate = self.needed_rate.map(|needed| in_time.min(needed).max(rate));
        }
    }

    fn grew(&mut self, surge: &Stretch, accept_rate: Option<f64>) {
        self.needed_depth = Some(round_to_u64(surge.peak.ceil()));
        self.accept_rate = accept_rate;
        self.needed_rate = accept_rate.map(|rate| rate + surge.growth());
        self.since_ns = Some(surge.since_ns());
        self.lasted_ns = Some(surge.growth_ns());
    }
}

/// A factor that is sufficient, rounded up to tenths. With exactly as many workers as needed,
/// chance would cause overloads.
fn in_tenths(factor: f64) -> f64 {
    // A value that is a tenth except for rounding errors stays that tenth.
    ((factor * 10.0 - 1e-6).ceil() / 10.0).max(1.1)
}

/// The nearest integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is too large or no number becomes the nearest that there is"
)]
fn round_to_u64(value: f64) -> u64 {
    value.round() as u64
}

/// The smallest backlog that is at least this depth.
fn least(depth: f64) -> u32 {
    u32::try_from(round_to_u64(depth).max(1)).map_or(LARGEST, |depth| depth.min(LARGEST))
}

#[cfg(test)]
mod tests;
