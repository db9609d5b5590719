//! Explains a stall: since when nothing is or was accepted, which thread accepted before, and what
//! the acceptors do.

use super::add_workers::late;
use super::{clients, sentences, still};
use crate::event::Acceptor;
use crate::model::page::Page;
use crate::model::sizing::{Seen, Sizing};
use crate::text::acceptor::sentence;
use crate::text::format::{duration, plural};

pub(super) fn why(sizing: &Sizing, seen: &Seen<'_>) -> String {
    let page = seen.page;
    let lasted_ns = sizing.lasted_ns.unwrap_or(0);
    let lasted = duration(lasted_ns / 1000);
    let since_ns = sizing.since_ns.unwrap_or(0);
    let mut parts = Vec::new();
    if seen.stalled_since_ns.is_some() {
        parts.extend(refused_since(seen));
        parts.push(format!("nobody has accepted for {lasted}, {}", who(page)));
        if let Some(queued) = page.still_queued(seen.given.end_ns) {
            parts.push(still(&queued));
        }
        parts.push("no backlog helps where nobody accepts: a longer queue only fills later".into());
    } else if seen.paused.is_some() {
        parts.push(late(seen, &duration(seen.given.client_timeout_ns / 1000)));
        parts.push(format!(
            "hardly anybody was accepted for {lasted}, while the queue grew to {}",
            sizing.needed_depth.unwrap_or(0)
        ));
        parts.push("a backlog does not change that: find out why nobody accepted".into());
    } else {
        let stalls = &page.stalls;
        parts.push(clients(seen));
        parts.push(format!(
            "{} of {} with a record were refused while nobody had accepted for more than a second \
             (for {lasted} at the longest)",
            stalls.stalled,
            plural(stalls.clients, "client"),
        ));
        parts.push(
            "a larger backlog only makes clients wait until somebody accepts again: find out why \
             nobody does"
                .into(),
        );
        parts.extend(until_then(sizing, seen));
    }
    parts.extend(evidence(page, since_ns, since_ns.saturating_add(lasted_ns)));
    sentences(&parts)
}

/// The refused clients, and how many of them were refused in the present stall.
fn refused_since(seen: &Seen<'_>) -> Option<String> {
    let since_ns = seen.stalled_since_ns?;
    let stalls = &seen.page.stalls;
    if seen.refused == 0 {
        return None;
    }
    let all = clients(seen);
    if stalls.last_refused_ns().is_none_or(|last_ns| last_ns <= since_ns) {
        return Some(format!("{all}, all of them before nobody accepted any more"));
    }
    let since = stalls.refused_since_last_accept();
    Some(if since < stalls.clients && since > 0 {
        format!("{all}, {since} of them since nobody accepts")
    } else {
        all
    })
}

/// The backlog that holds the clients of a stall until its end, if that is soon enough for them.
fn until_then(sizing: &Sizing, seen: &Seen<'_>) -> Option<String> {
    let timeout_ns = seen.given.client_timeout_ns;
    let lasted_ns = sizing.lasted_ns.filter(|lasted_ns| *lasted_ns < timeout_ns)?;
    sizing.needed_depth?;
    let backlog =
        seen.need.backlog(seen.need.smallest(seen.page.listener.limit), sizing.confidence);
    Some(format!(
        "Until that is mended, a backlog of {backlog} would hold them for the {} of such a pause, \
         which is less than the {} of --client-timeout",
        duration(lasted_ns / 1000),
        duration(timeout_ns / 1000),
    ))
}

/// The last acceptor, if known.
fn who(page: &Page) -> String {
    let Some(last) = page.last_accept else {
        return "and who accepted before is not known".into();
    };
    let worker = page.workers.process(last.pid).cloned();
    let known = worker.or_else(|| page.listener.process().filter(|one| one.pid == last.pid));
    let process = known.map_or_else(|| format!("process {}", last.pid), |one| one.to_string());
    if last.tid == last.pid {
        format!("the last to do so was {process}")
    } else {
        format!("the last to do so was thread {} of {process}", last.tid)
    }
}

/// The known reasons why nothing was accepted in this time: errors of `accept()`, and the state of
/// the acceptors as inspected then. Without an inspection in this time, the last one before is
/// used, or else the next one.
pub(super) fn evidence(page: &Page, since_ns: u64, until_ns: u64) -> Vec<String> {
    let began = page.episodes.kept().iter().rev().filter_map(|one| {
        let acceptor = one.acceptor.as_deref()?;
        Some((one.begin_ns, acceptor))
    });
    let idle = page.idle.as_deref().map(|acceptor| (page.idle_seen_ns, acceptor));
    let mut all: Vec<(u64, &Acceptor)> = idle.into_iter().chain(began).collect();
    // Later inspections come first; of simultaneous ones, the one without drops.
    all.sort_by_key(|(time_ns, _)| std::cmp::Reverse(*time_ns));
    let within = |(time_ns, _): &&(u64, &Acceptor)| (since_ns..=until_ns).contains(time_ns);
    let before = |(time_ns, _): &&(u64, &Acceptor)| *time_ns <= until_ns;
    let found = all.iter().find(within).or_else(|| all.iter().find(before)).or_else(|| all.last());
    let doing = found.map(|(_, acceptor)| {
        let text = sentence(acceptor);
        if acceptor.idle { text } else { format!("when drops began: {text}") }
    });
    [page.accept_errors.sentence(), doing].into_iter().flatten().collect()
}
