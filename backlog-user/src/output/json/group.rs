//! A listener's position in its `SO_REUSEPORT` group.

use std::collections::HashMap;

use backlog_core::event::ListenerId;
use backlog_core::model::Model;
use backlog_core::model::group;
use backlog_core::model::summary::Summary;
use serde::Serialize;

/// The `SO_REUSEPORT` group of a listener: two or more that were open together at one address.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Group {
    /// Members that were open together, including those that have closed.
    size: usize,
    /// Members that were open at the end.
    open: usize,
    /// All members closed before others opened the same address: a restart.
    replaced: bool,
    /// The number of this listener, from 1 in the order of opening.
    member: u32,
    /// Its share of the connections of the group. Null: there were none.
    share: Option<f64>,
    /// The connections of the busiest member divided by the mean. Null: there were none.
    imbalance: Option<f64>,
    /// Members with room whose queue was never used, while this one waited or dropped. Null: it
    /// did not.
    most_idle_while_dropping: Option<usize>,
    /// `unbalanced.with_room`. Null: not unbalanced.
    with_room_while_dropping: Option<usize>,
    /// This member waits or drops while others have room (docs/SIZING.md). Null: it does not.
    unbalanced: Option<Unbalanced>,
    /// What was in its queues when it closed. Null: it is open.
    at_close: Option<AtClose>,
}

/// The evidence that a member waits or drops while others have room.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Unbalanced {
    /// Members that were open together with it.
    others: usize,
    /// Those of the others that had room.
    with_room: usize,
    /// Its share of the connections that it and the others got.
    share: f64,
    /// Packets that the limit refused here.
    drops: u64,
    /// Packets that the limit refused at the others.
    others_drops: u64,
    /// The 99th percentile of its waits, microseconds. Null: nothing was accepted.
    wait_p99_us: Option<u64>,
    /// The same of those with room, microseconds: the lowest and the highest. Null: not known.
    others_wait_p99_us: Option<[u64; 2]>,
    /// Nothing was ever accepted here.
    never_accepted: bool,
    /// Nobody had accepted at the end for at least that long with a full queue, microseconds.
    /// Null: not so.
    stalled_us: Option<u64>,
}

/// What was in a member's queues when it closed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AtClose {
    /// Connections in its accept queue.
    queued: u32,
    /// Requests in its SYN queue.
    syn_queue: u32,
    /// Connections that were seen to migrate to another member.
    moved: u64,
    /// Was another member open then?
    other_open: bool,
    /// `net.ipv4.tcp_migrate_req`. Null: not known, or the kernel is older than 5.14.
    tcp_migrate_req: Option<u8>,
    /// Would that sysctl have moved what was lost? Null: not known.
    would_have_moved: Option<bool>,
}

/// The group of each member, summed up once, since there may be thousands of members.
pub(super) struct Groups(HashMap<ListenerId, Sums>);

/// The sums that all members share.
#[derive(Clone, Copy)]
struct Sums {
    size: usize,
    open: usize,
    replaced: bool,
    enqueued: u64,
    imbalance: Option<f64>,
}

impl Groups {
    /// The groups of these listeners.
    pub(super) fn of(summaries: &[Summary<'_>]) -> Self {
        let mut all = HashMap::new();
        for group in group::groups(summaries) {
            let sums = Sums {
                size: group.members.len(),
                open: group.open(),
                replaced: group.replaced,
                enqueued: group.enqueued(),
                imbalance: group.imbalance(),
            };
            all.extend(group.members.iter().map(|member| (member.page.listener.id, sums)));
        }
        Self(all)
    }
}

impl Group {
    /// The group of a listener; None if it is in none.
    pub(super) fn of(
        model: &Model,
        groups: &Groups,
        summary: &Summary<'_>,
        end_ns: u64,
    ) -> Option<Self> {
        let page = summary.page;
        let group = groups.0.get(&page.listener.id)?;
        let sum = group.enqueued;
        let unbalanced = model.unbalanced(page, end_ns);
        Some(Self {
            size: group.size,
            open: group.open,
            replaced: group.replaced,
            member: page.member,
            share: (sum > 0).then(|| page.totals.enqueued as f64 / sum as f64),
            imbalance: group.imbalance,
            most_idle_while_dropping: unbalanced.as_ref().map(|found| found.idle),
            with_room_while_dropping: unbalanced.as_ref().map(|found| found.with_room),
            unbalanced: unbalanced.as_ref().map(Unbalanced::from),
            at_close: model.at_close(page).as_ref().map(AtClose::from),
        })
    }
}

impl From<&group::Unbalanced> for Unbalanced {
    fn from(found: &group::Unbalanced) -> Self {
        Self {
            others: found.others,
            with_room: found.with_room,
            share: found.share,
            drops: found.drops,
            others_drops: found.others_drops,
            wait_p99_us: found.wait_us,
            others_wait_p99_us: found.others_wait_us.map(|(least, most)| [least, most]),
            never_accepted: found.never_accepted,
            stalled_us: found.stalled_ns.map(|stalled_ns| stalled_ns / 1000),
        }
    }
}

impl From<&group::AtClose> for AtClose {
    fn from(at_close: &group::AtClose) -> Self {
        Self {
            queued: at_close.queued,
            syn_queue: at_close.requests,
            moved: at_close.moved,
            other_open: at_close.other_open,
            tcp_migrate_req: at_close.migrate_req,
            would_have_moved: at_close.would_have_moved(),
        }
    }
}
