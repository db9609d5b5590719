//! Counts that several handlers share: accepts, cookies, and peaks of queues.

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

/// Counts the accept of a connection whose enqueue was recorded. `state` is its state at the
/// accept; zero means that it was accepted before the enqueue was recorded.
#[inline(always)]
pub(crate) fn count_tracked_accept(
    pending: Pending,
    child: *const Sock,
    state: u8,
    by: AcceptedBy,
) {
    // If migrations are not traced, a connection outlives its first listener, whose slot may belong
    // to another by now.
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

/// Counts an accept. The startup scan finds connections that were queued before, without the time
/// of their enqueue.
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

/// Records the wait of an accepted connection, if it may be the longest.
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

/// Counts a connection that its client had left by the time it was accepted. `state` is its state
/// then.
///
/// `tcp_mstamp` says when it left: the kernel sets it to the time of each packet of a connection
/// (`tcp_rcv_established`, `tcp_rcv_state_process`, 5.10 to 7.3), and nothing follows a FIN or a
/// reset that is not answered yet. A delayed acknowledgement sets it as well, at most 200 ms later.
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
    // Its listener may be one that the filter on owners excludes: a connection does not show that.
    if filter::by_owner() {
        return;
    }
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).accepts += 1 };
    }
}

/// Records the depth of a queue right after an arrival, before that is recorded, if it may be the
/// deepest.
///
/// Each CPU keeps its own peaks, since eBPF had no atomic maximum before 5.12. All CPUs share a
/// depth that one of them has recorded, and an arrival that does not exceed it records nothing.
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

/// The peaks of epoch `now`, cleared if they belong to an earlier one.
#[inline(always)]
fn epoch(totals: &mut Totals, now: u32) -> &mut Epoch {
    let epoch = &mut totals.epochs[(now & 1) as usize];
    if epoch.epoch != now {
        *epoch = Epoch { epoch: now, depth: 0, longest_ns: 0 };
    }
    epoch
}

/// Records the length of the SYN queue, if it is the longest.
#[inline(always)]
pub(crate) fn syn_queue_peak(totals: &mut Totals, sk: impl KernelPtr<Sock>) {
    let length = sock::syn_queue(sk);
    if length > totals.syn_queue_peak {
        totals.syn_queue_peak = length;
        totals.syn_queue_peak_ns = time::now();
    }
}
