//! Counts the distributions of waits and depths. Userspace reads the counts as memory.

use core::arch::asm;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use backlog_ebpf::{
    attempt::KEPT_NS,
    distribution::{
        DEPTHS, Distributions, NO_TROUGH, WAIT_STEP, WAITS, bucket, mark, marked, micros,
    },
};

use super::{
    maps::DISTRIBUTIONS,
    shared::{self, REFUSED},
};

/// The acceptor is recorded at most this often, which is accurate enough.
const NOTED_NS: u64 = 1 << 20;

/// Which thread accepted a connection.
#[derive(Clone, Copy)]
pub(crate) enum AcceptedBy {
    /// The current thread.
    CurrentThread,
    /// An unknown one: this is a softirq, or the accept was seen before.
    Unknown,
}

/// The distributions of a listener.
#[inline(always)]
pub(crate) fn at(slot: u32) -> Option<*mut Distributions> {
    DISTRIBUTIONS.get_ptr_mut(slot)
}

/// Clears the marks that the slot's previous listener left in this epoch. The time of the last drop
/// is that of any listener: clients of the new one may have been refused by the one that it
/// replaces, or by another of its group.
#[inline(always)]
pub(crate) fn reset_marks(slot: u32) {
    let Some(distributions) = at(slot) else { return };
    // SAFETY: an element of the array; the slot has no listener yet.
    unsafe {
        (*distributions).deepest = 0;
        (*distributions).longest = 0;
        (*distributions).refused_ns = u64::from(REFUSED.get()) << REFUSED_SHIFT;
    }
}

/// The units of [`REFUSED`] are 2^30 ns.
const REFUSED_SHIFT: u32 = 30;

/// Whether some CPU has recorded this depth or a larger one in this epoch.
#[inline(always)]
pub(crate) fn has_deeper(distributions: *const Distributions, epoch: u32, depth: u32) -> bool {
    // SAFETY: an element of the array; the mark is read as a whole.
    let noted = unsafe { (&raw const (*distributions).deepest).read_volatile() };
    marked(noted, epoch).is_some_and(|deepest| depth <= deepest)
}

/// Marks this depth as recorded. If two CPUs write at the same time, the lower value may stay: then
/// arrivals are recorded more often than necessary.
#[inline(always)]
pub(crate) fn set_deepest(distributions: *mut Distributions, epoch: u32, depth: u32) {
    // SAFETY: as in `has_deeper`.
    unsafe { (&raw mut (*distributions).deepest).write_volatile(mark(epoch, depth)) };
}

/// Whether some CPU has recorded a longer wait in this epoch.
#[inline(always)]
pub(crate) fn has_longer(distributions: *const Distributions, epoch: u32, wait_ns: u64) -> bool {
    // SAFETY: as in `has_deeper`.
    let noted = unsafe { (&raw const (*distributions).longest).read_volatile() };
    marked(noted, epoch).is_some_and(|longest| wait_ns >> WAIT_STEP < u64::from(longest))
}

/// Marks this wait as recorded; see [`set_deepest`].
#[inline(always)]
pub(crate) fn set_longest(distributions: *mut Distributions, epoch: u32, wait_ns: u64) {
    let steps = wait_ns >> WAIT_STEP;
    let steps = if steps > u64::from(u32::MAX) { u32::MAX } else { steps as u32 };
    // SAFETY: as in `has_deeper`.
    unsafe { (&raw mut (*distributions).longest).write_volatile(mark(epoch, steps)) };
}

/// Counts an arrival at this depth. Returns true if the listener has refused a client recently, so
/// that this may be a returning one.
#[inline(always)]
pub(crate) fn record_arrival(distributions: *mut Distributions, depth: u32, now: u64) -> bool {
    let index = within::<DEPTHS>(bucket(u64::from(depth.saturating_sub(1)), DEPTHS));
    // SAFETY: an element of the array, and a place within it. An arrival that finds the queue empty
    // is alone in it, unless it is accepted before this is recorded: then the time is negative, and
    // nothing is added.
    unsafe {
        shared::count((&raw mut (*distributions).depths).cast::<u32>().add(index));
        let found = depth.saturating_sub(1);
        if found < (*distributions).trough {
            (*distributions).trough = found;
        }
        let empty_ns = now.wrapping_sub((*distributions).accepted_ns);
        let arrived = (*distributions).arrived;
        (*distributions).arrived = arrived.wrapping_add(1);
        if depth <= 1 {
            (*distributions).filled_ns = now;
            (*distributions).filled_arrived = arrived;
        }
        if depth <= 1 && empty_ns < now {
            (*distributions).idle_ns += empty_ns;
            let pace = &raw const (*distributions).pace;
            (*distributions).free_ns += (*pace).free_ns(empty_ns);
        }
        is_recent((*distributions).refused_ns, now)
    }
}

/// Whether this listener refused a client recently enough that it may send its SYN again.
#[inline(always)]
pub(crate) fn refused_lately(slot: u32, now: u64) -> bool {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return false };
    // SAFETY: an element of the array; the time is read as a whole.
    is_recent(unsafe { (*distributions).refused_ns }, now)
}

/// The drop may be later than `now`, if another CPU has refused a client since the clock was read.
#[inline(always)]
const fn is_recent(refused_ns: u64, now: u64) -> bool {
    refused_ns != 0 && now < refused_ns + KEPT_NS
}

/// The state of the acceptor in a record of a drop or of a returning client.
pub(crate) struct AcceptorState {
    /// The smallest depth since the previous record.
    pub(crate) trough: u32,
    /// Its idle time so far.
    pub(crate) free_ns: u64,
    /// When it last accepted.
    pub(crate) accepted_ns: u64,
    /// When an arrival last found the queue empty.
    pub(crate) filled_ns: u64,
    /// The sum of its pauses so far, and their number.
    pub(crate) paced_ns: u64,
    pub(crate) paced: u32,
    /// Its stalls so far.
    pub(crate) stalled_ns: u64,
    /// Arrivals so far.
    pub(crate) arrived: u32,
}

impl AcceptorState {
    const UNKNOWN: Self = Self {
        trough: NO_TROUGH,
        free_ns: 0,
        accepted_ns: 0,
        filled_ns: 0,
        paced_ns: 0,
        paced: 0,
        stalled_ns: 0,
        arrived: 0,
    };
}

/// Reads the state of the acceptor for a record.
#[inline(always)]
pub(crate) fn acceptor_state(slot: u32) -> AcceptorState {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else {
        return AcceptorState::UNKNOWN;
    };
    // SAFETY: an element of the array. If another CPU stores a lower depth meanwhile, that is lost.
    unsafe {
        let trough = (*distributions).trough;
        (*distributions).trough = NO_TROUGH;
        AcceptorState {
            trough,
            free_ns: (*distributions).free_ns,
            accepted_ns: (*distributions).accepted_ns,
            filled_ns: (*distributions).filled_ns,
            paced_ns: (*distributions).pace.sum_ns,
            paced: (*distributions).pace.count as u32,
            stalled_ns: (*distributions).pace.stalled_ns,
            arrived: (*distributions).arrived,
        }
    }
}

/// Since when a queue has not been empty, if it is not, and how many have arrived since: the one
/// that found it empty is counted, and so is one that is not recorded yet.
#[inline(always)]
pub(crate) fn filled(distributions: *const Distributions) -> (u64, u32) {
    // SAFETY: an element of the array.
    unsafe {
        let arrived = (*distributions).arrived.wrapping_sub((*distributions).filled_arrived);
        ((*distributions).filled_ns, arrived.wrapping_add(1))
    }
}

/// Records a cookie sent at a SYN queue of this length. Returns an estimate of the length that the
/// queue would have with room for it.
#[inline(always)]
pub(crate) fn needed_syn_queue(slot: u32, queue: u32, now: u64) -> u32 {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return 0 };
    // SAFETY: an element of the array; if two CPUs write, either value may stay.
    unsafe { (*distributions).crowd.note(queue, now) }
}

/// Records ACKs with a valid SYN cookie.
#[inline(always)]
pub(crate) fn answer_cookies(slot: u32, acks: u32) {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return };
    // SAFETY: an element of the array; if two CPUs write, either value may stay.
    unsafe { (*distributions).crowd.answer(acks) };
}

/// Records that a listener has refused a client that may return.
#[inline(always)]
pub(crate) fn record_drop(slot: u32, now: u64) {
    let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(slot) else { return };
    // SAFETY: an element of the array; if two CPUs write, either value may stay.
    unsafe { (*distributions).refused_ns = now };
    REFUSED.set((now >> REFUSED_SHIFT) as u32);
}

/// Counts an accept after this wait, and records the current thread if it is the acceptor.
#[inline(always)]
pub(crate) fn record_accept(
    distributions: *mut Distributions,
    wait_ns: u64,
    accepted_ns: u64,
    by: AcceptedBy,
) {
    // Microseconds, rounded up, minus one.
    let index = within::<WAITS>(bucket(micros(wait_ns.saturating_sub(1)), WAITS));
    // SAFETY: as in `record_arrival`.
    unsafe { shared::count((&raw mut (*distributions).waits).cast::<u32>().add(index)) };
    // SAFETY: as above. If two threads accept at the same time, either value may stay.
    unsafe {
        let before_ns = (*distributions).accepted_ns;
        (*distributions).accepted_ns = accepted_ns;
        // This connection was already waiting at the previous accept.
        if accepted_ns > before_ns && accepted_ns - before_ns < wait_ns {
            (*distributions).pace.note(accepted_ns - before_ns);
        }
    }
    if matches!(by, AcceptedBy::CurrentThread) {
        // SAFETY: as above.
        unsafe {
            if accepted_ns.wrapping_sub((*distributions).noted_ns) > NOTED_NS {
                (*distributions).noted_ns = accepted_ns;
                (*distributions).acceptor = bpf_get_current_pid_tgid();
            }
        }
    }
}

/// A bucket as an index that the verifier can bound by `COUNT`, a power of two. The compiler knows
/// the bound and would remove an ordinary mask.
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
