//! The need of either queue, and the number that follows from it.

use backlog_ebpf::cause::Beside;

use super::{Confidence, Cookies, Given, least, round_to_u64};
use crate::model::page::Page;
use crate::model::unlimited::{Stretch, Unlimited};

/// See the module's head.
pub(super) struct Need {
    /// The surge in which the accept queue would have been deepest.
    pub(super) deepest: Option<Stretch>,
    /// How long the last one in it would have waited.
    pub(super) wait_ns: Option<f64>,
    /// The length that the SYN queue would have reached, if it was too short.
    pub(super) syn_queue: Option<u64>,
    /// The kind of traffic behind cookies sent for lack of room in it.
    pub(super) cookies: Option<Cookies>,
    /// The SYNs that a full SYN queue refused were a flood: few of their clients sent another one.
    pub(super) flood: bool,
    /// The number of independent peaks nearly as long as the longest.
    pub(super) bursts: u64,
    refused: bool,
    pause_ns: Option<f64>,
    rate: Option<f64>,
    longest_ns: f64,
    /// The longest time without an accept in which clients were refused.
    stalled: Option<(u64, u64)>,
}

impl Need {
    pub(super) fn of(page: &Page, unlimited: &Unlimited, given: &Given) -> Self {
        let deepest = unlimited.stretches().max_by(|a, b| a.peak.total_cmp(&b.peak));
        let cookies = cookies(page, given);
        let by_cookies = match cookies {
            Some(Cookies::Load) => u64::from(page.totals.syn_needed),
            _ => 0,
        };
        let flood = unlimited.syn.is_flood(given.end_ns);
        // No queue holds a flood.
        let by_refusals = if flood { 0 } else { unlimited.syn.needed() };
        let syn_queue = Some(by_refusals.max(by_cookies)).filter(|needed| *needed > 0);
        let measured_ns = page.paced.pause_ns().or(unlimited.pause_ns());
        let pause_ns = match (measured_ns, guess(page)) {
            // A few accepts do not say how fast the others come.
            (Some(measured_ns), guess_ns) if page.paced.accepts < FEW => {
                guess_ns.map(|guess_ns| measured_ns.max(guess_ns))
            }
            (measured_ns, guess_ns) => measured_ns.or(guess_ns),
        };
        let rate = page.paced.rate().filter(|_| page.paced.accepts >= FEW);
        let rate = rate.or_else(|| pause_ns.map(|pause_ns| 1e9 / pause_ns));
        let refused = page.refused_by_present_limit() > 0;
        // Cookies are counted, not when they were sent, and retries get some too: only where
        // nobody was refused do they say how often clients came.
        let by_count = if refused { 0 } else { groups(page, by_cookies) };
        let by_groups = if flood { 0 } else { unlimited.syn.groups };
        let bursts = unlimited.near_peaks().max(by_groups).max(by_count);
        let mut need = Self {
            deepest,
            wait_ns: None,
            syn_queue,
            cookies,
            flood,
            bursts,
            refused,
            pause_ns,
            rate: rate.filter(|_| page.totals.accepted > 0),
            longest_ns: page.totals.longest_ns as f64,
            stalled: page.stalls.longest,
        };
        need.wait_ns = deepest.and_then(|deepest| need.wait_of(deepest.peak));
        need
    }

    /// How long the last one in a queue of this depth waits: as long as all before it take, or
    /// as long as the longest real wait, which includes stalls. None: for ever, as far as is known.
    pub(super) fn wait_of(&self, depth: f64) -> Option<f64> {
        self.pause_ns.map(|pause_ns| (depth * pause_ns).max(self.longest_ns))
    }

    /// Accepts per second while a queue grew: its own, or if too few were accepted then, that of the
    /// whole run while any were queued. None: nobody accepted for most of that time.
    pub(super) fn rate_of(&self, stretch: &Stretch) -> Option<f64> {
        let stalled_ns = self.stalled.map_or(0, |(since_ns, until_ns)| {
            let end_ns = until_ns.min(stretch.begin_ns.saturating_add(stretch.growth_ns()));
            end_ns.saturating_sub(since_ns.max(stretch.begin_ns))
        });
        let rate = self.rate.filter(|_| stalled_ns <= stretch.growth_ns() / 2);
        stretch.rate().or(rate)
    }

    /// The smallest limit that would have refused nobody. It is never below a limit that refused
    /// somebody.
    pub(super) fn smallest(&self, limit: u32) -> u32 {
        let accept = self.deepest.map_or(0.0, |deepest| deepest.peak.ceil());
        let syn = self.syn_queue.unwrap_or(0) as f64;
        least(accept.max(syn)).max(limit.saturating_add(u32::from(self.refused)))
    }

    /// The backlog to pass for it.
    pub(super) fn backlog(&self, smallest: u32, confidence: Confidence) -> u32 {
        let (part, roots) = match (confidence, self.bursts) {
            (Confidence::High, 4..) => (0.1, 0.5),
            (Confidence::High | Confidence::Medium, 2..) => (0.25, 1.0),
            _ => (0.5, 2.0),
        };
        let needed = f64::from(smallest);
        // A number of clients that come by chance varies by its root.
        let margin = (needed * part).max(needed.sqrt() * roots).ceil();
        least(needed + margin)
    }
}

/// Fewer pauses do not say how long one is.
const FEW: u64 = 8;

/// If no connection has ever waited behind another: a client that waits only for the acceptor waits
/// for at most one of its pauses.
fn guess(page: &Page) -> Option<f64> {
    let (peak, longest_ns) = (page.totals.peak, page.totals.longest_ns);
    let enough = page.totals.accepted >= FEW;
    (enough && peak > 0 && longest_ns > 0).then(|| longest_ns as f64 / f64::from(peak))
}

/// The kind of traffic behind cookies sent because the SYN queue had no room.
fn cookies(page: &Page, given: &Given) -> Option<Cookies> {
    let beside = |one: Beside| page.totals.beside[one as usize];
    let needed = page.cookies_at_full_syn_queue();
    let has_room = page.outdated_limit().is_some() && page.totals.syn_needed <= page.listener.limit;
    if needed == 0 || given.syncookies == Some(2) || has_room {
        return None;
    }
    let (sent, valid) = (beside(Beside::SynCookieSent), beside(Beside::SynCookieValid));
    Some(if valid.saturating_mul(2) >= sent.max(needed) { Cookies::Load } else { Cookies::Attack })
}

/// About how many times cookies were sent for as many clients at once as at most.
fn groups(page: &Page, needed: u64) -> u64 {
    let at_once = needed.saturating_sub(u64::from(page.listener.limit));
    let all = page.cookies_at_full_syn_queue();
    if at_once == 0 { 0 } else { round_to_u64((all as f64 / at_once as f64).floor()) }
}
