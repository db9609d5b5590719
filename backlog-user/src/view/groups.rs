//! What is said of a `SO_REUSEPORT` group, as text.

use super::format::{duration, plural};
use crate::book::group::Unbalanced;

/// `member 2: 14 of 14 drops, p99 1.4s against 2.0ms to 4.0ms at 3 of 3 others, which had room`.
pub(crate) fn unbalanced(found: &Unbalanced) -> String {
    let Unbalanced { member, drops, others_drops, others, with_room, .. } = *found;
    let mut parts = Vec::new();
    if drops > 0 {
        parts.push(format!("{drops} of {}", plural(drops + others_drops, "drop")));
    }
    if let Some(wait_us) = found.wait_us {
        let there = found.others_wait_us.map_or(String::new(), |range| {
            format!(" against {}", waits(range))
        });
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

/// From the least to the most.
pub(crate) fn waits((least, most): (u64, u64)) -> String {
    let (least, most) = (duration(least), duration(most));
    if least == most { least } else { format!("{least} to {most}") }
}
