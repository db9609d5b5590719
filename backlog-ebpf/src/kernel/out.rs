//! The way into the ring. A record that finds it full is counted at its
//! listener; nothing is lost silently.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, generated::bpf_ringbuf_query},
};
use backlog_ebpf::{
    record::{Header, Kind, Listener},
    totals::Totals,
};

use super::{globals::WAKE_BYTES, maps::EVENTS};

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

/// Sends a record that a person waits for: userspace is woken at once.
#[inline(always)]
pub(crate) fn urgent<T: 'static>(kind: Kind, record: T, totals: *mut Totals) {
    send(kind, record, totals, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a copy of a listener's note, changed by `patch`, and wakes userspace. It is made in
/// the ring: the stack of a program has no room for it.
#[inline(always)]
pub(crate) fn listener(
    kind: Kind,
    note: *const Listener,
    totals: *mut Totals,
    patch: impl FnOnce(&mut Listener),
) {
    let Some(mut entry) = EVENTS.reserve_untyped::<Listener>(0) else {
        // SAFETY: `totals` is this CPU's element of the per-CPU array.
        unsafe { (*totals).lost[kind as usize] += 1 };
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the note is an element of an array; the record is this program's own, of that
    // size, and every byte of it is written before it is looked at.
    let record = unsafe {
        core::ptr::copy_nonoverlapping(note, record, 1);
        &mut *record
    };
    patch(record);
    record.header.kind = kind as u16;
    // SAFETY: the helper has no preconditions.
    record.header.cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a record that may wait for its like: userspace drains them at its own
/// interval, or when enough of them have come together.
#[inline(always)]
pub(crate) fn batched<T: 'static>(kind: Kind, record: T, totals: *mut Totals) {
    // SAFETY: the argument is a ring buffer map, and the flag is one it knows.
    let waiting = unsafe {
        bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA))
    };
    let flags = if waiting >= WAKE_BYTES.load() { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    send(kind, record, totals, u64::from(flags));
}

#[inline(always)]
fn send<T: 'static>(kind: Kind, record: T, totals: *mut Totals, flags: u64) {
    match EVENTS.reserve_untyped::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(flags);
        }
        // SAFETY: `totals` is this CPU's element of the per-CPU array.
        None => unsafe { (*totals).lost[kind as usize] += 1 },
    }
}
