//! Explains that one member of a group waits or drops while others have room.

use std::fmt::Write as _;

use super::{append, sentences, still};
use crate::model::group::Unbalanced;
use crate::model::group::words as groups;
use crate::model::page::Page;
use crate::model::sizing::Seen;
use crate::text::format::{duration, plural};

pub(super) fn why(seen: &Seen<'_>) -> String {
    let (page, given) = (seen.page, seen.given);
    let Some(found) = given.unbalanced else { return String::new() };
    let name = groups::process(page);
    let who = name.as_deref().unwrap_or("this member");
    let mut text = trouble(&found);
    let _ = write!(
        text,
        " while {} of {} had room. It is member {} of its SO_REUSEPORT group",
        found.with_room,
        plural(found.others as u64, "other"),
        found.member,
    );
    if let Some(name) = &name {
        let _ = write!(text, ", {name}");
    }
    let _ = write!(text, ", and got {:.0} % of the connections", found.share * 100.0);
    if let Some(waits) = waits(&found) {
        let _ = write!(text, "; {waits}");
    }
    if let Some(stall) = stall(page, &found) {
        let _ = write!(text, ". {stall}");
    }
    if let Some(since_ns) = page.still_since().filter(|_| seen.stalled_since_ns.is_some()) {
        let queued = page.still_queued(given.end_ns).as_ref().map(still);
        let evidence = super::stalled::evidence(page, since_ns, given.end_ns);
        let parts: Vec<String> = queued.into_iter().chain(evidence).collect();
        append(&mut text, (!parts.is_empty()).then(|| sentences(&parts)));
    }
    let _ = write!(
        text,
        ". A larger backlog would only make clients wait longer for a slow member. Find out why \
         {who} does not accept sooner, or let all members accept from one socket"
    );
    text
}

/// What happened at this member.
fn trouble(found: &Unbalanced) -> String {
    let Unbalanced { drops, others_drops, .. } = *found;
    match (drops, others_drops) {
        (0, _) => "Clients waited here".into(),
        (_, 0) => format!("All {} of the group happened here", plural(drops, "drop")),
        _ => format!(
            "{drops} of {} of the group happened here",
            plural(drops.saturating_add(others_drops), "drop")
        ),
    }
}

/// The waits of clients, here and at the other members.
fn waits(found: &Unbalanced) -> Option<String> {
    let here = duration(found.wait_us?);
    Some(match found.others_wait_us {
        Some(range) => format!(
            "its accept latency (p99) was {here}, against {} where there was room",
            groups::waits(range),
        ),
        None => format!("its accept latency (p99) was {here}"),
    })
}

/// The time without an accept.
fn stall(page: &Page, found: &Unbalanced) -> Option<String> {
    let longest_ns = page.stall.longest_ns;
    match found.stalled_ns {
        Some(_) if found.never_accepted => Some("It never accepted".into()),
        Some(stalled_ns) => {
            Some(format!("It had stopped accepting at least {} before the end", of(stalled_ns)))
        }
        None if longest_ns >= LONG_NS => {
            Some(format!("It once accepted nothing for {} or longer", of(longest_ns)))
        }
        None => None,
    }
}

/// A shorter pause is not mentioned.
const LONG_NS: u64 = 100_000_000;

fn of(time_ns: u64) -> String {
    duration(time_ns / 1000)
}
