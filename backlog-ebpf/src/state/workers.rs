//! Counts accepts by thread. Userspace reads the counts.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use backlog_ebpf::accepts::{TRIES, WORKERS, Worker, place_of};

use super::{maps, shared};
use crate::kernel::caller;

/// Counts an accept of the current thread at the listener of this slot.
///
/// A place belongs to the thread whose id is stored there. Two threads that take the same free
/// place at the same time may each count once there: eBPF had no atomic compare-and-exchange before
/// 5.12.
#[inline(always)]
pub(crate) fn record_accept(slot: u32) {
    let Some(workers) = maps::WORKERS.get_ptr_mut(slot) else { return };
    let id = bpf_get_current_pid_tgid();
    let mut place = place_of(id);
    for _ in 0..TRIES {
        // SAFETY: an element of the array, and a place within it.
        unsafe {
            let worker = (&raw mut (*workers).each).cast::<Worker>();
            let worker = worker.add(place);
            let owner = (&raw const (*worker).id).read_volatile();
            if owner == id {
                return shared::count(&raw mut (*worker).count);
            }
            if owner == 0 {
                (*worker).comm = caller::name();
                caller::name_process(&raw mut (*worker).comm);
                (&raw mut (*worker).id).write_volatile(id);
                return shared::count(&raw mut (*worker).count);
            }
        }
        place = (place + 1) & (WORKERS - 1);
    }
    // SAFETY: as above.
    unsafe { shared::count(&raw mut (*workers).other) };
}
