//! A packet is refused at a listener: counted, and told unless too many are.

use backlog_ebpf::{
    cause::Cause,
    distribution::NO_TROUGH,
    record::{Drop, Endpoint, Kind},
    totals::Totals,
};

use super::{
    attempt,
    distribution::{self, Acceptor},
    globals::{DROP_RECORDS, URGENT_RECORDS},
    listener::{self, Seen},
    out,
    place::Place,
    types::Sock,
};

/// Drop records are limited by the second.
const WINDOW_NS: u64 = 1_000_000_000;

/// A refusal.
pub(crate) struct Refusal {
    /// Why.
    pub(crate) cause: Cause,
    /// How far the packet moves the listener's `sk_drops`: `tcp_listendrop` is a step,
    /// and the ACK side discards the packet in a second one (`discard_and_relse` in
    /// `tcp_v4_rcv`, 5.10 to 7.3).
    pub(crate) sk_drops: u64,
    /// Does a counter of the kernel count it?
    pub(crate) counted: bool,
}

/// Counts a refusal, and sends a record of it. `who` is asked for the client and the initial
/// sequence number of its attempt, if they are to be told.
#[inline(always)]
pub(crate) fn refused(
    sk: impl Place<Sock>,
    seen: Seen,
    refusal: Refusal,
    who: impl FnOnce() -> (Endpoint, u32),
) {
    let Refusal { cause, sk_drops, counted } = refusal;
    let now = listener::now();
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.drops[cause as usize] += 1;
    totals.sk_drops += sk_drops;
    if !counted {
        totals.uncounted += 1;
    }
    let Some(told) = may_tell(totals, cause, now) else {
        return;
    };
    let (client, isn) = who();
    let record = Drop {
        header: out::header::<Drop>(Kind::Drop, seen.slot, now),
        cause: cause as u32,
        isn,
        depth: listener::depth(sk),
        limit: listener::limit(sk),
        syn_queue: listener::syn_queue(sk),
        trough: NO_TROUGH,
        client,
        arrived: 0,
        free_ns: 0,
        accepted_ns: 0,
        filled_ns: 0,
        paced_ns: 0,
        stalled_ns: 0,
        paced: 0,
        unrecorded: totals.unrecorded as u32,
    };
    tell(&record, seen.totals, told);
}

/// Tells of a refusal, the `told`th of this second, and keeps the attempt. A function of its
/// own in the program as well, for its stack.
#[inline(never)]
fn tell(record: &Drop, totals: *mut Totals, told: u32) -> u32 {
    let Drop { header, isn, client, .. } = record;
    attempt::refused(totals, client, *isn, header.time_ns);
    distribution::refused(header.slot, header.time_ns);
    // The first of a second wake userspace; those behind them can wait for their like.
    let flags = if told <= URGENT_RECORDS.load() { out::at_once() } else { out::with_others() };
    let acceptor = |copy: &mut Drop| {
        let now = distribution::acceptor(copy.header.slot);
        let Acceptor { trough, free_ns, accepted_ns, filled_ns, .. } = now;
        (copy.trough, copy.free_ns, copy.accepted_ns) = (trough, free_ns, accepted_ns);
        let Acceptor { paced_ns, paced, stalled_ns, arrived, .. } = now;
        (copy.paced_ns, copy.paced, copy.stalled_ns) = (paced_ns, paced, stalled_ns);
        (copy.filled_ns, copy.arrived) = (filled_ns, arrived);
    };
    out::copy(record, totals, flags, acceptor, Kind::Drop);
    0
}

/// How many drop records of this second this one is. None: there are enough, it is
/// only counted. A flood must not become a flood of records, nor hide another cause: the
/// first of each is told.
#[inline(always)]
fn may_tell(totals: &mut Totals, cause: Cause, now: u64) -> Option<u32> {
    if now - totals.window_ns >= WINDOW_NS {
        totals.window_ns = now;
        totals.window_used = 0;
        totals.window_causes = 0;
    }
    let bit = 1 << (cause as u32);
    if totals.window_used >= DROP_RECORDS.load() && totals.window_causes & bit != 0 {
        totals.unrecorded += 1;
        return None;
    }
    totals.window_causes |= bit;
    totals.window_used += 1;
    Some(totals.window_used)
}
