//! Handles entries left in the tables of queued connections after a listener's last event:
//! connections that were accepted before their enqueue was recorded.

use anyhow::{Context as _, Result};
use aya::maps::PerCpuValues;
use backlog_ebpf::pending::{NAMELESS, Pending, Waiting};

use crate::bpf::load::Maps;
use crate::bpf::pod::{ListenerPod, PendingPod, WaitingPod};

/// Connections with an accept but no enqueue in the table or the map, by their address.
pub(super) fn early(maps: &Maps) -> Vec<(u64, Pending)> {
    let in_map = maps.pending.iter().filter_map(Result::ok);
    let in_map = in_map.map(|(child, PendingPod(entry))| (child, entry));
    let in_table = maps.waiting.iter().map(|WaitingPod(place)| place);
    let in_table = in_table.filter(|waiting| waiting.child != 0).map(|waiting| {
        // Both marks are set: the accept and the record of the enqueue raced and missed each other.
        let met = waiting.early == waiting.child;
        let early_ns = if met { waiting.early_ns & !NAMELESS } else { 0 };
        (waiting.child, Pending { early_ns, ..waiting.entry })
    });
    in_map
        .chain(in_table)
        .filter(|(_, entry)| entry.early_ns != 0 && has_its_slot(maps, entry))
        .collect()
}

/// The queued connections: the slot, and the time of the enqueue.
pub(super) fn queued(maps: &Maps) -> Vec<(u32, u64)> {
    let in_map = maps.pending.iter().filter_map(Result::ok).map(|(_, PendingPod(entry))| entry);
    let in_table = maps.waiting.iter().map(|WaitingPod(place)| place);
    let in_table = in_table.filter(|place| place.child != 0 && place.early != place.child);
    in_map
        .chain(in_table.map(|place| place.entry))
        // An announced connection (no depth yet) is not queued yet, and may never be.
        .filter(|entry| entry.enqueued_ns == 0 || entry.depth != 0)
        .filter(|entry| entry.early_ns == 0 && has_its_slot(maps, entry))
        .map(|entry| (entry.slot, entry.enqueued_ns))
        .collect()
}

/// The number of accepts whose connection is unknown.
pub(super) fn unknown(maps: &Maps) -> u64 {
    let alone = |waiting: &Waiting| {
        waiting.early != 0 && waiting.early_ns & NAMELESS == 0 && waiting.early != waiting.child
    };
    maps.waiting.iter().filter(|WaitingPod(place)| alone(place)).count() as u64
}

/// Does the slot still belong to the entry's listener? If not, the entry is stale and another
/// listener has the slot.
fn has_its_slot(maps: &Maps, entry: &Pending) -> bool {
    maps.info.get(entry.slot).is_some_and(|ListenerPod(info)| {
        info.sk == entry.listener && info.header.time_ns <= entry.since_ns
    })
}

/// Counts the accept of an entry that no program will complete, for example because the Fast Open
/// handshake never ended. Its wait is unknown.
pub(super) fn settle(maps: &mut Maps, child: u64, entry: &Pending) -> Result<()> {
    let announced_only = entry.enqueued_ns != 0 && entry.depth == 0;
    count(maps, child, entry.slot, announced_only)
        .with_context(|| format!("counting a connection of slot {}", entry.slot))
}

/// Adds a connection to the kernel's totals, as the program would have.
fn count(maps: &mut Maps, child: u64, slot: u32, enqueued: bool) -> Result<()> {
    let mut cpus = maps.totals.get(&slot, 0)?.to_vec();
    if let Some(first) = cpus.first_mut() {
        first.0.enqueued += u64::from(enqueued);
        first.0.accepted += 1;
    }
    maps.totals.set(slot, PerCpuValues::try_from(cpus)?, 0)?;
    // The entry may be in the direct-mapped table only.
    let _ = maps.pending.remove(&child);
    Ok(())
}
