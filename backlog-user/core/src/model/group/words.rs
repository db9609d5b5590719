//! The text about a `SO_REUSEPORT` group.

use crate::model::Model;
use crate::model::group::{AtClose, Group, Unbalanced};
use crate::model::page::Page;
use crate::model::summary::Summary;
use crate::text::format::{duration, plural};
use crate::text::owner_text::{self, safe};

/// The process that accepts at a member, if there is only one; otherwise the holder of its socket,
/// because with nginx the parent and all workers hold every member's socket.
#[must_use]
pub fn process(page: &Page) -> Option<String> {
    match page.workers.shares().as_slice() {
        [one] => Some(safe(&one.process.to_string())),
        _ => owner_text::process(&page.listener),
    }
}

/// In larger groups, closed members without findings have no row.
const MANY: usize = 16;

/// Whether a group has anything to show: activity, or for a group replaced by a restart, refusals
/// or losses.
pub fn is_shown(model: &Model, group: &Group<'_>) -> bool {
    let mut members = group.members.iter();
    if group.replaced {
        members.any(|member| member.drops > 0 || closed(model, member.page).is_some())
    } else {
        members.any(Summary::active)
    }
}

/// The members that have a row.
#[must_use]
pub fn rows<'model>(model: &Model, group: &Group<'model>) -> Vec<Summary<'model>> {
    let few = group.members.len() <= MANY;
    let matters = |member: &&Summary<'_>| {
        let page = member.page;
        few || page.closed.is_none() || member.drops > 0 || closed(model, page).is_some()
    };
    group.members.iter().filter(matters).copied().collect()
}

/// The members that have no row, in words.
#[must_use]
pub fn not_listed(rows: usize, group: &Group<'_>) -> Option<String> {
    let rest = group.members.len().saturating_sub(rows) as u64;
    (rest > 0).then(|| {
        format!("{} that closed with empty queues and without a drop", plural(rest, "member"))
    })
}

/// The contents of a closed member's queues and their fate, in words; none if they were empty.
#[must_use]
pub fn closed(model: &Model, page: &Page) -> Option<String> {
    let at_close = model.at_close(page).filter(|at_close| !at_close.is_empty())?;
    let AtClose { queued, requests, .. } = at_close;
    Some(format!(
        "member {}{}: {}",
        page.member,
        left_behind(queued, requests).replacen(", with", " closed with", 1),
        fate(&at_close),
    ))
}

fn fate(at_close: &AtClose) -> String {
    const NAME: &str = "net.ipv4.tcp_migrate_req";
    let AtClose { queued, moved, .. } = *at_close;
    match (at_close.other_open, at_close.migrate_req) {
        (false, _) => "lost, for no other member was open".into(),
        (true, Some(0)) => {
            format!("lost; {NAME}=1 would have moved them to a member that was open")
        }
        (true, Some(_)) => {
            format!(
                "{NAME}=1 moves them to open members; {moved} of {queued} queued were seen to move"
            )
        }
        (true, None) => format!(
            "lost, unless {NAME} is 1 (Linux 5.14 and later have it; its value is not known)"
        ),
    }
}

/// Connections that were killed with a listener.
#[must_use]
pub fn left_behind(depth: u32, syn_queue: u32) -> String {
    let connections = plural(depth.into(), "connection");
    let requests = plural(syn_queue.into(), "request");
    match (depth, syn_queue) {
        (0, 0) => String::new(),
        (_, 0) => format!(", with {connections} in its queue"),
        (0, _) => format!(", with {requests} in its SYN queue"),
        _ => format!(", with {connections} in its queue and {requests} in its SYN queue"),
    }
}

/// `member 2: 14 of 14 drops, p99 1.4s against 2.0ms to 4.0ms at 3 of 3 others, which had room`.
#[must_use]
pub fn unbalanced(found: &Unbalanced) -> String {
    let Unbalanced { member, drops, others_drops, others, with_room, .. } = *found;
    let mut parts = Vec::new();
    if drops > 0 {
        parts.push(format!("{drops} of {}", plural(drops.saturating_add(others_drops), "drop")));
    }
    if let Some(wait_us) = found.wait_us {
        let there = found
            .others_wait_us
            .map_or(String::new(), |range| format!(" against {}", waits(range)));
        parts.push(format!("p99 {}{there}", duration(wait_us)));
    }
    if found.never_accepted {
        parts.push("it never accepted".into());
    } else if let Some(stalled_ns) = found.stalled_ns {
        parts.push(format!("no accept in the last {}", duration(stalled_ns / 1000)));
    }
    format!(
        "member {member}: {}; {with_room} of {} had room",
        parts.join(", "),
        plural(others as u64, "other"),
    )
}

/// From the shortest to the longest.
#[must_use]
pub fn waits((least, most): (u64, u64)) -> String {
    let (least, most) = (duration(least), duration(most));
    if least == most { least } else { format!("{least} to {most}") }
}
