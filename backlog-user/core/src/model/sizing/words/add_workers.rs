//! Explains why no backlog helps: clients arrive faster than they are accepted, or do not wait.

use std::fmt::Write as _;

use backlog_ebpf::totals::IMPATIENT_NS;

use super::{append, by_outdated_limit, clients, from_before, hindrances, still, to_mend_first};
use crate::model::sizing::late::Left;
use crate::model::sizing::{Seen, Sizing};
use crate::text::format::duration;

pub(super) fn why(sizing: &Sizing, seen: &Seen<'_>) -> String {
    let timeout = duration(seen.given.client_timeout_ns / 1000);
    let first = to_mend_first(seen.page).map_or(String::new(), |mend| format!("{mend}. "));
    let mut text = first + &late(seen, &timeout);
    if let (Some(rate), Some(needed), Some(lasted_ns)) =
        (sizing.accept_rate, sizing.needed_rate, sizing.lasted_ns)
    {
        let depth = sizing.needed_depth.unwrap_or(0);
        let lasted = duration(lasted_ns / 1000);
        if lasted_ns > seen.given.client_timeout_ns {
            let _ = write!(
                text,
                ". For {lasted} clients came at {needed:.1}/s and were accepted at {rate:.1}/s"
            );
        } else if seen.refused > 0 && seen.unlimited.grows_until(seen.given.end_ns) {
            let end = if seen.page.closed.is_some() { "when it closed" } else { "at the end" };
            let _ = write!(
                text,
                ". Within {lasted} the queue grew to {depth}, and it still grew {end}: clients came \
                 at {needed:.1}/s and were accepted at {rate:.1}/s"
            );
        } else {
            let _ = write!(
                text,
                ". Within {lasted} the queue grew to {depth}, and {rate:.1}/s were accepted. To \
                 serve the last of them in time, {needed:.1}/s are needed"
            );
        }
        let _ = write!(
            text,
            ": that takes {:.1} times the present workers, or accept() called that much sooner",
            sizing.times.unwrap_or(1.0),
        );
    } else if let Some(rate) = sizing.accept_rate {
        let _ = write!(text, ". {rate:.1}/s were accepted, and more came");
    } else if seen.page.totals.accepted == 0 {
        text += ". Nothing was accepted at all";
    } else {
        if let Some(growth) = seen.late.growth
            && growth.is_pause(seen.page.paced.pause_ns())
        {
            let lasted = duration(growth.lasted_ns / 1000);
            let _ = write!(text, ". Hardly anybody was accepted for {lasted}: find out why");
        }
        text += ". Add workers, or make accept() come sooner";
    }
    if let Some(wait_ns) = sizing.wait_ns {
        let (depth, wait) = (sizing.needed_depth.unwrap_or(0), duration(wait_ns / 1000));
        let patience = patience(seen);
        let _ = if wait_ns > seen.late.timeout_ns(seen.given) {
            write!(
                text,
                ". A larger backlog only turns refusals into waiting: the last of {depth} would wait \
                 about {wait}, and {patience}"
            )
        } else {
            // It lasted longer than a client waits, so the queue would have grown further.
            write!(
                text,
                ". A larger backlog only fills later: {depth} would have been in it at last, and \
                 the last of them would wait about {wait}; {patience}"
            )
        };
    }
    if let Some(largest) = sizing.largest_backlog {
        let patience = seen.late.timeout_ns(seen.given);
        let _ = write!(
            text,
            ". The largest backlog that still serves clients within {} at that rate is {largest}",
            duration(patience / 1000),
        );
        let limit = seen.page.listener.limit;
        if limit > largest {
            let _ = write!(text, ": {limit} is too large");
        }
    }
    append(&mut text, from_before(seen));
    append(&mut text, hindrances(seen.page));
    text
}

/// How long clients wait: the configured timeout, or less if clients left earlier.
fn patience(seen: &Seen<'_>) -> String {
    let patience_ns = seen.late.timeout_ns(seen.given);
    let patience = duration(patience_ns / 1000);
    if seen.late.is_patience_unknown() {
        format!("clients left sooner than {patience}: set --client-timeout to how long yours wait")
    } else if patience_ns < seen.given.client_timeout_ns {
        format!("clients leave after {patience}")
    } else {
        format!("a client gives up after {patience} (--client-timeout)")
    }
}

/// The clients that were refused, waited too long, or left.
pub(super) fn late(seen: &Seen<'_>, timeout: &str) -> String {
    let late = &seen.late;
    let mut parts = Vec::new();
    if seen.refused > 0 {
        parts.push(clients(seen));
    } else {
        parts.extend(by_outdated_limit(seen.page));
    }
    let accepted = seen.page.totals.accepted;
    if late.beyond > 0 {
        parts.push(format!(
            "{} of {accepted} accepted clients had waited for more than {timeout} \
             (--client-timeout)",
            late.beyond
        ));
    }
    parts.extend(late.from_before_ns.map(|least_ns| {
        format!(
            "a connection that was queued before the run began waited for at least {}",
            duration(least_ns / 1000)
        )
    }));
    parts.extend(left(seen));
    if late.still
        && let Some(queued) = seen.page.still_queued(seen.given.end_ns)
    {
        parts.push(still(&queued));
    }
    parts.join("; ")
}

/// `7 of 360 clients had left before they were accepted`.
pub(super) fn left(seen: &Seen<'_>) -> Option<String> {
    let Left { clients, after_ns, .. } = seen.late.left?;
    let (did, when) = match after_ns {
        // A client that was refused first had also waited for its retry.
        Some(_) if seen.refused > 0 => ("left", String::new()),
        Some(after_ns) => ("left", format!(", none of them before {}", duration(after_ns / 1000))),
        None => {
            let most = duration(IMPATIENT_NS / 1000);
            ("reset their connection", format!(", most within {most}"))
        }
    };
    let accepted = seen.page.totals.accepted;
    Some(format!("{clients} of {accepted} clients had {did} before they were accepted{when}"))
}
