//! Counts how waits and depths are distributed. Userspace reads the counts as memory.

use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};

use super::{maps::DISTRIBUTIONS, shared::count};

/// Counts an arrival that made a queue so deep.
#[inline(always)]
pub(crate) fn arrived(slot: u32, depth: u32) {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return };
    let index = bucket(u64::from(depth.saturating_sub(1)), DEPTHS) as usize;
    // SAFETY: an element of the array, and a place within it.
    unsafe { count((&raw mut (*distributions).depths).cast::<u32>().add(index)) };
}

/// Counts an accept after so long a wait.
#[inline(always)]
pub(crate) fn waited(slot: u32, wait_ns: u64) {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return };
    // Microseconds, rounded up, less one.
    let index = bucket(wait_ns.saturating_sub(1) / 1000, WAITS) as usize;
    // SAFETY: as in `arrived`.
    unsafe { count((&raw mut (*distributions).waits).cast::<u32>().add(index)) };
}
