//! Counts that more than one handler makes: accepts, and how deep queues were.

use backlog_ebpf::{
    cause::Beside,
    distribution::Distributions,
    pending::Pending,
    totals::{Epoch, IMPATIENT_NS, Totals},
};

use super::retry;
use crate::kernel::{
    globals::TP_MSTAMP,
    pointers::KernelPtr,
    read, sock, time,
    types::{Sock, TCP_CLOSE, TCP_CLOSE_WAIT},
};
use crate::state::{
    filter,
    histograms::{self, AcceptedBy},
    maps::STRAY,
    shared::EPOCH,
    slots::{self, Tracked},
    workers,
};

/// Counts ACKs with a valid SYN cookie.
#[inline(always)]
pub(crate) fn cookies_answered(tracked: Tracked, acks: u64) {
    if acks == 0 {
        return;
    }
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*tracked.totals).beside[Beside::SynCookieValid as usize] += acks };
    histograms::answer_cookies(tracked.slot, acks as u32);
}

/// An accept of a connection that was seen being queued, and is in this state (zero: it was
/// accepted before that was seen).
#[inline(always)]
pub(crate) fn count_tracked_accept(
    pending: Pending,
    child: *const Sock,
    state: u8,
    by: AcceptedBy,
) {
    // Where migrations are not seen, a connection outlives its first listener, whose
    // slot may have been given to another.
    if !slots::had_slot(pending.slot, pending.since_ns) {
        count_unattributed_accept();
    } else {
        count_accept(pending.slot, pending.enqueued_ns, pending.early_ns, by);
        count_abandoned(pending.slot, child, pending.enqueued_ns, state);
        if pending.refused_isn != 0 {
            retry::on_accept(pending.slot, child, pending.refused_isn, state);
        }
    }
}

/// Counts an accept. A connection that was queued before the start is known from the startup scan,
/// without its time.
#[inline(always)]
pub(crate) fn count_accept(slot: u32, enqueued_ns: u64, early_ns: u64, by: AcceptedBy) {
    let now = if early_ns == 0 { time::now() } else { early_ns };
    if matches!(by, AcceptedBy::CurrentThread) {
        workers::record_accept(slot);
    }
    if enqueued_ns == 0 {
        return count_without_wait(slot, now);
    }
    let Some(distributions) = histograms::at(slot) else { return };
    // The clocks of two CPUs may differ by some nanoseconds.
    let wait_ns = if now > enqueued_ns { now - enqueued_ns } else { 0 };
    longest(slot, distributions, wait_ns);
    histograms::record_accept(distributions, wait_ns, now, by);
}

#[inline(always)]
fn count_without_wait(slot: u32, now: u64) {
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe {
        (*totals).accepts_without_wait += 1;
        (*totals).longest_without_wait_ns = now;
    }
}

/// Notes the wait of an accepted connection, if it may be the longest.
#[inline(always)]
fn longest(slot: u32, distributions: *mut Distributions, wait_ns: u64) {
    let now = EPOCH.get();
    if histograms::has_longer(distributions, now, wait_ns) {
        return;
    }
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *totals };
    if wait_ns > totals.longest_ns {
        totals.longest_ns = wait_ns;
    }
    let epoch = epoch(totals, now);
    if wait_ns > epoch.longest_ns {
        epoch.longest_ns = wait_ns;
    }
    histograms::set_longest(distributions, now, wait_ns);
}

/// Counts a connection that its client has left by the time it is accepted, in this state.
///
/// `tcp_mstamp` says when it left: the kernel sets it to the time of each packet of a
/// connection (`tcp_rcv_established`, `tcp_rcv_state_process`, 5.10 to 7.3), and nothing comes
/// after a FIN or a reset that nobody answers yet. An acknowledgement that the kernel delays
/// sets it as well, by 200 ms at most.
#[inline(always)]
pub(crate) fn count_abandoned(slot: u32, child: *const Sock, enqueued_ns: u64, state: u8) {
    let beside = match state {
        TCP_CLOSE => Beside::AbandonedReset,
        TCP_CLOSE_WAIT => Beside::AbandonedFin,
        _ => return,
    };
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *totals };
    totals.beside[beside as usize] += 1;
    let left_ns = read::field::<_, u64>(child, &TP_MSTAMP) * 1000;
    if enqueued_ns == 0 || left_ns < enqueued_ns + IMPATIENT_NS {
        return;
    }
    totals.left_waiting += 1;
    let after_ns = left_ns - enqueued_ns;
    if totals.left_after_ns == 0 || after_ns < totals.left_after_ns {
        totals.left_after_ns = after_ns;
    }
}

#[inline(always)]
pub(crate) fn count_unattributed_accept() {
    // It may be one of a listener that is left out, which a connection does not show.
    if filter::by_owner() {
        return;
    }
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).accepts += 1 };
    }
}

/// Notes the depth of a queue right after an arrival that is not recorded yet, if it may be the deepest.
///
/// The peaks are this CPU's, since eBPF had no atomic maximum before 5.12. What all CPUs share is
/// a depth that one of them has noted: what goes no further needs no note.
#[inline(always)]
pub(crate) fn peak(slot: u32, distributions: *mut Distributions, depth: u32) {
    let now = EPOCH.get();
    if histograms::has_deeper(distributions, now, depth) {
        return;
    }
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *totals };
    if depth > totals.peak {
        totals.peak = depth;
        totals.peak_ns = time::now();
        (totals.peak_filled_ns, totals.peak_arrivals) = histograms::filled(distributions);
    }
    let epoch = epoch(totals, now);
    if depth > epoch.depth {
        epoch.depth = depth;
    }
    histograms::set_deepest(distributions, now, depth);
}

/// The peaks of the running epoch, `now`.
#[inline(always)]
fn epoch(totals: &mut Totals, now: u32) -> &mut Epoch {
    let epoch = &mut totals.epochs[(now & 1) as usize];
    if epoch.epoch != now {
        *epoch = Epoch { epoch: now, depth: 0, longest_ns: 0 };
    }
    epoch
}

/// Notes the length of the SYN queue.
#[inline(always)]
pub(crate) fn syn_queue_peak(totals: &mut Totals, sk: impl KernelPtr<Sock>) {
    let length = sock::syn_queue(sk);
    if length > totals.syn_queue_peak {
        totals.syn_queue_peak = length;
        totals.syn_queue_peak_ns = time::now();
    }
}
