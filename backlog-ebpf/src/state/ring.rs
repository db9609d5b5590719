//! Writes records to the ring buffer. A record for which there is no room is counted at its
//! listener, so that nothing is lost silently.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, generated::bpf_ringbuf_query},
};
use backlog_ebpf::{
    record::{Header, Kind, Listener},
    totals::Totals,
};

use super::maps::EVENTS;
use crate::kernel::globals::WAKE_BYTES;

/// The header of a record of type `T`.
#[inline(always)]
pub(crate) fn header<T>(kind: Kind, slot: u32, time_ns: u64) -> Header {
    Header {
        kind: kind as u16,
        size: size_of::<T>() as u16,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() } as u32,
        slot,
        pad: 0,
        time_ns,
    }
}

/// For a record that the user waits for: wakes userspace at once.
#[inline(always)]
pub(crate) fn wake_at_once() -> u64 {
    u64::from(BPF_RB_FORCE_WAKEUP)
}

/// For a record that may wait: userspace drains the ring buffer at its own interval, or when enough
/// records have accumulated.
#[inline(always)]
pub(crate) fn wake_in_batches() -> u64 {
    // SAFETY: the argument is a ring buffer map, and the flag is one it knows.
    let waiting = unsafe {
        bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA))
    };
    u64::from(if waiting >= WAKE_BYTES.load() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Sends a copy of a listener's information, changed by `patch`, and wakes userspace. The copy is
/// made in the ring buffer: the program's stack has no room for it.
#[inline(always)]
pub(crate) fn send_listener(
    kind: Kind,
    note: *const Listener,
    totals: *mut Totals,
    patch: impl FnOnce(&mut Listener),
) {
    send_copy(
        note,
        totals,
        wake_at_once(),
        |record| {
            patch(record);
            record.header.kind = kind as u16;
            // SAFETY: the helper has no preconditions.
            record.header.cpu = unsafe { bpf_get_smp_processor_id() } as u32;
        },
        kind,
    );
}

/// Sends a copy of a record, changed by `patch`. The copy is made in the ring buffer: the program's
/// stack has no room for another one.
#[inline(always)]
pub(crate) fn send_copy<T: Copy + 'static>(
    record: *const T,
    totals: *mut Totals,
    flags: u64,
    patch: impl FnOnce(&mut T),
    kind: Kind,
) {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        // SAFETY: `totals` is this CPU's element of the per-CPU array.
        unsafe { (*totals).lost[kind as usize] += 1 };
        return;
    };
    let copy = entry.as_mut_ptr();
    // SAFETY: the original is an element of an array or on the caller's stack; the copy belongs to
    // this program, has that size, and every byte of it is written before it is read.
    let copy = unsafe {
        core::ptr::copy_nonoverlapping(record, copy, 1);
        &mut *copy
    };
    patch(copy);
    entry.submit(flags);
}

/// Sends a record. `fill` writes it, all its fields, directly to the ring buffer.
#[inline(always)]
pub(crate) fn send<T: Copy + 'static>(
    kind: Kind,
    totals: *mut Totals,
    flags: u64,
    fill: impl FnOnce(&mut T),
) {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        // SAFETY: `totals` is this CPU's element of the per-CPU array.
        unsafe { (*totals).lost[kind as usize] += 1 };
        return;
    };
    // SAFETY: the entry belongs to this program and has that size, records are integers, and every
    // field is written before the entry is submitted.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(flags);
}
