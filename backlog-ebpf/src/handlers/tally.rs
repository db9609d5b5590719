//! Counts that more than one handler makes: accepts, and how deep queues were.

use backlog_ebpf::{
    cause::Beside,
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
    } else if let Some(tracked) = slots::tracked(pending.slot) {
        count_accept(tracked, pending.enqueued_ns, pending.early_ns, by);
        count_abandoned(tracked, child, pending.enqueued_ns, state);
        if pending.refused_isn != 0 {
            retry::on_accept(tracked, child, pending.refused_isn, state);
        }
    }
}

/// Counts an accept. A connection that was queued before the start is known from the startup scan,
/// without its time.
#[inline(always)]
pub(crate) fn count_accept(tracked: Tracked, enqueued_ns: u64, early_ns: u64, by: AcceptedBy) {
    let now = if early_ns == 0 { time::now() } else { early_ns };
    if matches!(by, AcceptedBy::CurrentThread) {
        workers::record_accept(tracked.slot);
    }
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    if enqueued_ns == 0 {
        totals.accepts_without_wait += 1;
        totals.longest_without_wait_ns = now;
        return;
    }
    totals.accepted += 1;
    // The clocks of two CPUs may differ by some nanoseconds.
    let wait_ns = if now > enqueued_ns { now - enqueued_ns } else { 0 };
    if wait_ns > totals.longest_ns {
        totals.longest_ns = wait_ns;
    }
    let epoch = epoch(totals);
    if wait_ns > epoch.longest_ns {
        epoch.longest_ns = wait_ns;
    }
    histograms::record_accept(tracked.slot, wait_ns, now, by);
}

/// Counts a connection that its client has left by the time it is accepted, in this state.
///
/// `tcp_mstamp` says when it left: the kernel sets it to the time of each packet of a
/// connection (`tcp_rcv_established`, `tcp_rcv_state_process`, 5.10 to 7.3), and nothing comes
/// after a FIN or a reset that nobody answers yet. An acknowledgement that the kernel delays
/// sets it as well, by 200 ms at most.
#[inline(always)]
pub(crate) fn count_abandoned(tracked: Tracked, child: *const Sock, enqueued_ns: u64, state: u8) {
    let beside = match state {
        TCP_CLOSE => Beside::AbandonedReset,
        TCP_CLOSE_WAIT => Beside::AbandonedFin,
        _ => return,
    };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
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

/// Notes the depth of a queue right after an arrival.
#[inline(always)]
pub(crate) fn peak(totals: &mut Totals, slot: u32, depth: u32) {
    if depth > totals.peak {
        totals.peak = depth;
        totals.peak_ns = time::now();
        totals.peak_filled_ns = histograms::filled_ns(slot);
    }
    let epoch = epoch(totals);
    if depth > epoch.depth {
        epoch.depth = depth;
    }
}

/// The peaks of the running epoch.
#[inline(always)]
pub(crate) fn epoch(totals: &mut Totals) -> &mut Epoch {
    let now = EPOCH.get();
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
