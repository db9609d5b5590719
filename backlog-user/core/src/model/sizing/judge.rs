//! Selects the verdict and its confidence.

use super::late::Late;
use super::need::Need;
use super::{Confidence, Cookies, Given, Seen, Verdict};
use crate::model::page::Page;
use crate::model::pauses;
use crate::model::saturating::saturating;
use crate::model::unlimited::{Stretch, Unlimited};

/// With fewer connections there is no verdict.
const FEW: u64 = 20;

/// Fewer accepts do not show how long one takes.
const FEW_ACCEPTS: u64 = 8;

/// The verdict.
pub(super) fn judge(seen: &Seen<'_>) -> Verdict {
    let explained = seen.refused > 0 && seen.page.stalls.explain_most();
    let stalled = seen.stalled_since_ns.is_some() || seen.paused.is_some() || explained;
    if seen.given.unbalanced.is_some() {
        // For a member that stalls while others accept, this verdict says so as well.
        Verdict::Unbalanced
    } else if too_little(seen, stalled) {
        Verdict::NotEnoughData
    } else if seen.given.partial {
        // Clients of the other family use the same queues and are accepted in turn, but are not
        // counted.
        Verdict::NotEnoughData
    } else if stalled {
        Verdict::AcceptorStalled
    } else if worst(&seen.unlimited, &seen.need, seen.given).is_some() || seen.late.is_late() {
        Verdict::AddWorkers
    } else if seen.refused > 0 || seen.need.cookies == Some(Cookies::Load) {
        Verdict::Raise
    } else {
        Verdict::Fits
    }
}

/// Whether there are too little data for any verdict.
fn too_little(seen: &Seen<'_>, stalled: bool) -> bool {
    let Seen { page, given, unlimited, refused, need, late, .. } = seen;
    if stalled {
        return false;
    }
    if *refused > 0 {
        // The records were lost, so the time and the clients are unknown; or the run ended in the
        // middle of the overload.
        return unlimited.firsts < 0.5
            || is_cut_short(page, unlimited, given)
            || (unlimited.grows_until(given.end_ns) && worst(unlimited, need, given).is_none());
    }
    if need.cookies == Some(Cookies::Attack) || need.flood {
        // The need of the clients cannot be distinguished from that of an attack.
        return !late.is_late();
    }
    let seen = page.totals.enqueued.saturating_add(page.peak().0.into());
    seen < FEW && !late.is_late() && need.cookies.is_none()
}

/// Whether nothing has been accepted since clients began to be refused, in a run that ended soon
/// after.
fn is_cut_short(page: &Page, unlimited: &Unlimited, given: &Given) -> bool {
    if page.totals.accepted > 0 && page.last_accepted_ns().is_none() {
        // An early recording does not have the time.
        return false;
    }
    let accepted_ns = page.last_accepted_ns().unwrap_or(0);
    let waits =
        |one: Stretch| one.begin_ns > accepted_ns && one.growth_ns() <= given.client_timeout_ns;
    let queued = page.closed.map_or(page.depth(), |(_, closed)| closed.depth);
    queued > 0 && unlimited.stretches().next().is_some() && unlimited.stretches().all(waits)
}

/// Since when nothing was accepted until the end, if that is far longer than the acceptor's pace,
/// and not just due to the moment when the run ended: it is longer than clients wait, or it
/// explains most refusals. If the pace is unknown, it must be longer than a client waits, unless
/// clients were refused in it.
pub(super) fn stalled(page: &Page, given: &Given) -> Option<u64> {
    let since_ns = page.still_since()?;
    let lasted_ns = given.end_ns.saturating_sub(since_ns);
    let pause_ns = page.unlimited.pause_ns().or_else(|| page.paced.pause_ns());
    let refused = page.stalls.last_refused_ns().is_some_and(|last_ns| last_ns > since_ns);
    let mut least_ns = if pause_ns.is_none() && !refused {
        given.client_timeout_ns as f64
    } else {
        pauses::least_ns(pause_ns)
    };
    if page.totals.accepted < FEW_ACCEPTS {
        // A slow request affects the longest wait before it affects the pace.
        least_ns = least_ns.max(page.totals.longest_ns as f64);
    }
    let matters = lasted_ns > given.client_timeout_ns || page.stalls.explained_by_the_last();
    (lasted_ns as f64 > least_ns && matters).then_some(since_ns)
}

/// The time without an accept in which the queue became deepest, if it is over and refused no
/// client, but made clients wait too long or leave: its start, and a time until which it lasted at
/// least.
pub(super) fn paused(page: &Page, late: &Late, refused: u64) -> Option<(u64, u64)> {
    let growth = late.growth.filter(|_| refused == 0 && late.is_late())?;
    let pause_ns = page.paced.pause_ns();
    let is_stall = growth.lasted_ns as f64 > pauses::least_ns(pause_ns);
    (is_stall && growth.is_pause(pause_ns))
        .then(|| (growth.since_ns, growth.since_ns + growth.lasted_ns))
}

/// The surge that no queue could have absorbed: it grew for longer than a client waits, or the last
/// client in that queue would have waited longer.
pub(super) fn worst(unlimited: &Unlimited, need: &Need, given: &Given) -> Option<Stretch> {
    let timeout_ns = given.client_timeout_ns;
    let hopeless = |one: &Stretch| {
        one.growth_ns() > timeout_ns
            || need.wait_of(one.peak).is_some_and(|wait_ns| wait_ns > timeout_ns as f64)
    };
    unlimited.stretches().filter(hopeless).max_by(|a, b| a.peak.total_cmp(&b.peak))
}

/// The confidence, by the number of independent bursts or the amount of data.
pub(super) fn confidence(seen: &Seen<'_>) -> Confidence {
    let Seen { page, given, unlimited, .. } = seen;
    let lost = saturating(page.totals.lost);
    let estimated = unlimited.estimated > 0.1 * unlimited.firsts;
    let guessed = estimated || lost > 0 || unlimited.from_before;
    if page.refused_by_limit() > 0 || seen.need.cookies.is_some() {
        return match page.episodes.independent().max(seen.need.bursts) {
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
