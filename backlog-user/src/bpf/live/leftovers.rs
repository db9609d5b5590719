//! Entries in the tables of queued connections after the last event of a listener: connections that
//! were accepted before their enqueue was recorded.

use anyhow::{Context as _, Result};
use aya::maps::PerCpuValues;
use backlog_ebpf::pending::{NAMELESS, Pending, Waiting};

use crate::bpf::load::Maps;
use crate::bpf::pod::{ListenerPod, PendingPod, WaitingPod};

/// Those in the table and in the map, by the address of the connection.
pub(super) fn early(maps: &Maps) -> Vec<(u64, Pending)> {
    let in_map = maps.pending.iter().filter_map(Result::ok);
    let in_map = in_map.map(|(child, PendingPod(entry))| (child, entry));
    let in_table = maps.waiting.iter().map(|WaitingPod(place)| place);
    let in_table = in_table.filter(|waiting| waiting.child != 0).map(|waiting| {
        // Both marks: the accept and the note of the enqueue have missed each other.
        let met = waiting.early == waiting.child;
        let early_ns = if met { waiting.early_ns & !NAMELESS } else { 0 };
        (waiting.child, Pending { early_ns, ..waiting.entry })
    });
    in_map
        .chain(in_table)
        .filter(|(_, entry)| entry.early_ns != 0 && has_its_slot(maps, entry))
        .collect()
}

/// Connections that are queued: the slot, and since when.
pub(super) fn queued(maps: &Maps) -> Vec<(u32, u64)> {
    let in_map = maps.pending.iter().filter_map(Result::ok).map(|(_, PendingPod(entry))| entry);
    let in_table = maps.waiting.iter().map(|WaitingPod(place)| place);
    let in_table = in_table.filter(|place| place.child != 0 && place.early != place.child);
    in_map
        .chain(in_table.map(|place| place.entry))
        // One that was announced is not queued yet, and may never be.
        .filter(|entry| entry.enqueued_ns == 0 || entry.depth != 0)
        .filter(|entry| entry.early_ns == 0 && has_its_slot(maps, entry))
        .map(|entry| (entry.slot, entry.enqueued_ns))
        .collect()
}

/// Accepts without any details.
pub(super) fn unknown(maps: &Maps) -> u64 {
    let alone = |waiting: &Waiting| {
        waiting.early != 0 && waiting.early_ns & NAMELESS == 0 && waiting.early != waiting.child
    };
    maps.waiting.iter().filter(|WaitingPod(place)| alone(place)).count() as u64
}

/// Does its slot still belong to its listener? Otherwise the entry was left behind, and the slot
/// belongs to another one.
fn has_its_slot(maps: &Maps, entry: &Pending) -> bool {
    maps.info.get(entry.slot).is_some_and(|ListenerPod(info)| {
        info.sk == entry.listener && info.header.time_ns <= entry.since_ns
    })
}

/// Counts one that was accepted, since what would have counted it, the end of a Fast Open
/// handshake for example, has not come. How long it waited is not known.
pub(super) fn settle(maps: &mut Maps, child: u64, entry: &Pending) -> Result<()> {
    let announced_only = entry.enqueued_ns != 0 && entry.depth == 0;
    count(maps, child, entry.slot, announced_only)
        .with_context(|| format!("counting a connection of slot {}", entry.slot))
}

/// Counts a connection in the kernel's totals, as the program would have.
fn count(maps: &mut Maps, child: u64, slot: u32, enqueued: bool) -> Result<()> {
    let mut cpus = maps.totals.get(&slot, 0)?.to_vec();
    if let Some(first) = cpus.first_mut() {
        first.0.enqueued += u64::from(enqueued);
        first.0.accepted += 1;
    }
    maps.totals.set(slot, PerCpuValues::try_from(cpus)?, 0)?;
    // It may be in the table and not in the map.
    let _ = maps.pending.remove(&child);
    Ok(())
}
