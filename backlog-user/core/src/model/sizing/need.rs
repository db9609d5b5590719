//! Computes what each queue needs, and the backlog that follows from it.

use backlog_ebpf::cause::Beside;

use super::{Confidence, Cookies, Given, least, round_to_u64};
use crate::model::page::Page;
use crate::model::unlimited::{Stretch, Unlimited};

/// See the module documentation.
pub(super) struct Need {
    /// The surge in which the accept queue would have been deepest.
    pub(super) deepest: Option<Stretch>,
    /// How long the last connection in it would have waited.
    pub(super) wait_ns: Option<f64>,
    /// The length that the SYN queue would have reached, if it was too short.
    pub(super) syn_queue: Option<u64>,
    /// The kind of traffic behind cookies that were sent because the SYN queue was full.
    pub(super) cookies: Option<Cookies>,
    /// The SYNs that a full SYN queue refused were a flood: few of their clients retried.
    pub(super) flood: bool,
    /// The number of independent peaks nearly as deep as the deepest.
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
        // No queue can hold a flood.
        let by_refusals = if flood { 0 } else { unlimited.syn.needed() };
        let syn_queue = Some(by_refusals.max(by_cookies)).filter(|needed| *needed > 0);
        let measured_ns = page.paced.pause_ns().or(unlimited.pause_ns());
        let pause_ns = match (measured_ns, guess(page)) {
            // A few accepts do not show how fast the others are.
            (Some(measured_ns), guess_ns) if page.paced.accepts < FEW => {
                guess_ns.map(|guess_ns| measured_ns.max(guess_ns))
            }
            (measured_ns, guess_ns) => measured_ns.or(guess_ns),
        };
        let rate = page.paced.rate().filter(|_| page.paced.accepts >= FEW);
        let rate = rate.or_else(|| pause_ns.map(|pause_ns| 1e9 / pause_ns));
        let refused = page.refused_by_present_limit() > 0;
        // Cookies are counted without their times, and retries get some too: their count shows how
        // often clients came only if no client was refused.
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

    /// How long the last connection in a queue of this depth waits: the sum of the pauses before
    /// it, or the longest real wait, which includes stalls. None: unbounded, as far as is known.
    pub(super) fn wait_of(&self, depth: f64) -> Option<f64> {
        self.pause_ns.map(|pause_ns| (depth * pause_ns).max(self.longest_ns))
    }

    /// Accepts per second while a queue grew: measured then, or if too few were accepted, the rate
    /// of the whole run under load. None if nothing was accepted for most of that time.
    pub(super) fn rate_of(&self, stretch: &Stretch) -> Option<f64> {
        let stalled_ns = self.stalled.map_or(0, |(since_ns, until_ns)| {
            let end_ns = until_ns.min(stretch.begin_ns.saturating_add(stretch.growth_ns()));
            end_ns.saturating_sub(since_ns.max(stretch.begin_ns))
        });
        let rate = self.rate.filter(|_| stalled_ns <= stretch.growth_ns() / 2);
        stretch.rate().or(rate)
    }

    /// The smallest limit that would have refused no client. It is always above a limit that
    /// refused clients.
    pub(super) fn smallest(&self, limit: u32) -> u32 {
        let accept = self.deepest.map_or(0.0, |deepest| deepest.peak.ceil());
        let syn = self.syn_queue.unwrap_or(0) as f64;
        least(accept.max(syn)).max(limit.saturating_add(u32::from(self.refused)))
    }

    /// The backlog to pass, with a margin.
    pub(super) fn backlog(&self, smallest: u32, confidence: Confidence) -> u32 {
        let (part, roots) = match (confidence, self.bursts) {
            (Confidence::High, 4..) => (0.1, 0.5),
            (Confidence::High | Confidence::Medium, 2..) => (0.25, 1.0),
            _ => (0.5, 2.0),
        };
        let needed = f64::from(smallest);
        // A random number of clients varies by its square root.
        let margin = (needed * part).max(needed.sqrt() * roots).ceil();
        least(needed + margin)
    }
}

/// Fewer pauses do not show how long one is.
const FEW: u64 = 8;

/// Estimates the pause if no connection has ever waited behind another: a client that waits only
/// for the acceptor waits for at most one pause.
fn guess(page: &Page) -> Option<f64> {
    let (peak, longest_ns) = (page.totals.peak, page.totals.longest_ns);
    let enough = page.totals.accepted >= FEW;
    (enough && peak > 0 && longest_ns > 0).then(|| longest_ns as f64 / f64::from(peak))
}

/// The kind of traffic behind cookies that were sent because the SYN queue was full.
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

/// The approximate number of groups of clients, if each was as large as the largest one.
fn groups(page: &Page, needed: u64) -> u64 {
    let at_once = needed.saturating_sub(u64::from(page.listener.limit));
    let all = page.cookies_at_full_syn_queue();
    if at_once == 0 { 0 } else { round_to_u64((all as f64 / at_once as f64).floor()) }
}
