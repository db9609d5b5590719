//! Counts how waits and depths are distributed. Userspace reads the counts as memory.

use core::arch::asm;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use backlog_ebpf::{
    attempt::KEPT_NS,
    distribution::{DEPTHS, WAITS, bucket},
};

use super::{maps::DISTRIBUTIONS, shared::count};

/// Who accepts is asked once in a while: nobody wants to know it more exactly.
const NOTED_NS: u64 = 1 << 20;

/// Who has accepted a connection.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The current thread.
    Current,
    /// Another one: this is a softirq, or the accept was noted before.
    Other,
}

/// Counts an arrival that made a queue so deep. True: the listener has refused somebody so
/// lately that it may be one who comes back.
#[inline(always)]
pub(crate) fn arrived(slot: u32, depth: u32, now: u64) -> bool {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return false };
    let index = within::<DEPTHS>(bucket(u64::from(depth.saturating_sub(1)), DEPTHS));
    // SAFETY: an element of the array, and a place within it. Who finds the queue empty is
    // alone with it, but for an accept that is faster than this note: then the time is
    // negative, and nothing is added.
    unsafe {
        count((&raw mut (*distributions).depths).cast::<u32>().add(index));
        let empty_ns = now.wrapping_sub((*distributions).accepted_ns);
        if depth <= 1 && empty_ns < now {
            (*distributions).idle_ns += empty_ns;
        }
        // Another CPU may have refused one since this one has looked at the clock.
        let refused_ns = (*distributions).refused_ns;
        refused_ns != 0 && now < refused_ns + KEPT_NS
    }
}

/// How long the queue has been empty, as far as arrivals have found it so.
#[inline(always)]
pub(crate) fn idle(slot: u32) -> u64 {
    // SAFETY: an element of the array.
    DISTRIBUTIONS.get_ptr(slot).map_or(0, |distributions| unsafe { (*distributions).idle_ns })
}

/// Notes that a listener has refused somebody who may come back. How long its queue has been
/// empty.
#[inline(always)]
pub(crate) fn refused(slot: u32, now: u64) -> u64 {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return 0 };
    // SAFETY: an element of the array; of two that write, either may be the last.
    unsafe {
        (*distributions).refused_ns = now;
        (*distributions).idle_ns
    }
}

/// Counts an accept after so long a wait, and who has done it if that is the current thread.
#[inline(always)]
pub(crate) fn waited(slot: u32, wait_ns: u64, accepted_ns: u64, by: By) {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return };
    // Microseconds, rounded up, less one.
    let index = within::<WAITS>(bucket(wait_ns.saturating_sub(1) / 1000, WAITS));
    // SAFETY: as in `arrived`.
    unsafe { count((&raw mut (*distributions).waits).cast::<u32>().add(index)) };
    // SAFETY: as above. Of two that accept at once, either may be the last.
    unsafe {
        let before_ns = (*distributions).accepted_ns;
        (*distributions).accepted_ns = accepted_ns;
        // It was waiting already when the one before was taken.
        if accepted_ns > before_ns && accepted_ns - before_ns < wait_ns {
            (*distributions).pace.note(accepted_ns - before_ns);
        }
    }
    if matches!(by, By::Current) {
        // SAFETY: as above.
        unsafe {
            if accepted_ns.wrapping_sub((*distributions).noted_ns) > NOTED_NS {
                (*distributions).noted_ns = accepted_ns;
                (*distributions).acceptor = bpf_get_current_pid_tgid();
            }
        }
    }
}

/// A bucket as an index that the verifier sees to be within `COUNT`, a power of two. The
/// compiler knows that it is, and would leave the mask out.
#[inline(always)]
fn within<const COUNT: usize>(bucket: u32) -> usize {
    let mut index = bucket as usize;
    // SAFETY: it touches nothing but the number.
    unsafe {
        asm!(
            "{index} &= {mask}",
            index = inout(reg) index,
            mask = const COUNT - 1,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    index
}
