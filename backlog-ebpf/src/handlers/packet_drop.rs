//! Counts a packet that a listener drops, and sends a record unless the listener has sent enough of
//! them this second.

use backlog_ebpf::{
    cause::Cause,
    record::{Drop as DropRecord, Endpoint, FIN, Kind, RETRY},
    totals::Totals,
};

use super::retry;
use crate::kernel::{
    globals::{DROP_RECORDS, URGENT_RECORDS},
    pointers::KernelPtr,
    sock, time,
    types::Sock,
};
use crate::state::{histograms, ring, slots::Tracked};

/// The period of the limit on drop records.
const WINDOW_NS: u64 = 1_000_000_000;
/// How many drops per second without a record look their client up in the table of attempts, so
/// that clients are counted rather than estimated from packets. Further drops, in a flood, are only
/// counted.
const MOST_CLIENTS: u32 = 1_500;

/// The data of a drop.
pub(crate) struct PacketDrop {
    /// The cause.
    pub(crate) cause: Cause,
    /// By how much the packet moves the listener's `sk_drops`: `tcp_listendrop` adds one, and the
    /// ACK path adds another when it discards the packet (`discard_and_relse` in `tcp_v4_rcv`, 5.10
    /// to 7.3).
    pub(crate) sk_drops: u64,
    /// Whether a kernel counter counts it.
    pub(crate) counted: bool,
}

/// Counts a drop and sends its record. The closures read the packet only when needed: whether it
/// carries a FIN, and who sent it, with the initial sequence number of the attempt.
#[inline(always)]
pub(crate) fn count_drop(
    sk: impl KernelPtr<Sock>,
    tracked: Tracked,
    dropped: PacketDrop,
    fin: impl FnOnce() -> bool,
    who: impl FnOnce() -> (Endpoint, u32),
) {
    let PacketDrop { cause, sk_drops, counted } = dropped;
    let now = time::now();
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    totals.drops[cause as usize] += 1;
    totals.sk_drops += sk_drops;
    if !counted {
        totals.not_in_mib += 1;
    }
    let number = record_number(totals, cause, now);
    if number == 0 && !counts_client(totals) {
        return;
    }
    let (client, isn) = who();
    if number == 0 {
        count_client(&client, isn, tracked.totals, now);
        return;
    }
    let details = DropDetails {
        slot: tracked.slot,
        cause: cause as u32 | (u32::from(fin()) * u32::from(FIN)) << u16::BITS,
        time_ns: now,
        isn,
        depth: sock::depth(sk),
        limit: sock::limit(sk),
        syn_queue: sock::syn_queue(sk),
        client,
    };
    send_record(&details, tracked.totals, number);
}

/// The part of a drop record that comes from the packet and its listener. The rest is written
/// directly to the ring buffer: two calls share 512 bytes of stack, and 5.10 counts the larger
/// branch of each.
struct DropDetails {
    slot: u32,
    /// The cause, with the record's flags in the upper bits: the verifier tracks the value of a
    /// 32-bit number.
    cause: u32,
    time_ns: u64,
    isn: u32,
    depth: u32,
    limit: u32,
    syn_queue: u32,
    client: Endpoint,
}

/// Sends the record of a drop and stores the attempt; `number` is the number of the record in this
/// second. Not inlined, so that it has its own stack frame.
#[inline(never)]
fn send_record(details: &DropDetails, totals: *mut Totals, number: u32) -> u32 {
    let DropDetails { slot, cause, time_ns, isn, depth, limit, syn_queue, client } = details;
    let again = retry::remember(totals, client, *isn, *time_ns);
    histograms::record_drop(*slot, *time_ns);
    // The first records of a second wake userspace at once; later ones can wait for a batch.
    let flags = if number <= URGENT_RECORDS.load() {
        ring::wake_at_once()
    } else {
        ring::wake_in_batches()
    };
    ring::send(Kind::Drop, totals, flags, |record: &mut DropRecord| {
        record.header = ring::header::<DropRecord>(Kind::Drop, *slot, *time_ns);
        (record.cause, record.flags) = (*cause as u16, (*cause >> u16::BITS) as u16);
        record.flags |= u16::from(again) * RETRY;
        record.isn = *isn;
        (record.depth, record.limit, record.syn_queue) = (*depth, *limit, *syn_queue);
        record.client = *client;
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &*totals };
        record.records_suppressed = totals.records_suppressed as u32;
        record.suppressed_clients = totals.suppressed_clients as u32;
        record.suppressed_retries = totals.suppressed_retries as u32;
        let acceptor = histograms::acceptor_state(*slot);
        (record.trough, record.arrived) = (acceptor.trough, acceptor.arrived);
        (record.free_ns, record.accepted_ns) = (acceptor.free_ns, acceptor.accepted_ns);
        (record.filled_ns, record.stalled_ns) = (acceptor.filled_ns, acceptor.stalled_ns);
        (record.paced_ns, record.paced) = (acceptor.paced_ns, acceptor.paced);
    });
    0
}

/// The number of this drop's record in this second, or zero if it gets none. A flood must not
/// become a flood of records, nor hide another cause: the first drop of each cause gets one.
#[inline(always)]
fn record_number(totals: &mut Totals, cause: Cause, now: u64) -> u32 {
    if now - totals.window_ns >= WINDOW_NS {
        totals.window_ns = now;
        totals.window_used = 0;
        totals.window_clients = 0;
        totals.window_causes = 0;
    }
    let bit = 1 << (cause as u32);
    if totals.window_used >= DROP_RECORDS.load() && totals.window_causes & bit != 0 {
        totals.records_suppressed += 1;
        return 0;
    }
    totals.window_causes |= bit;
    totals.window_used += 1;
    totals.window_used
}

/// Whether to look up the client of a drop without a record.
#[inline(always)]
fn counts_client(totals: &mut Totals) -> bool {
    let looks_up = totals.window_clients < MOST_CLIENTS;
    totals.window_clients += u32::from(looks_up);
    looks_up
}

/// Counts the client of a drop without a record, or its retry, and stores the attempt. Not inlined,
/// so that it has its own stack frame.
#[inline(never)]
fn count_client(client: &Endpoint, isn: u32, totals: *mut Totals, now: u64) -> u32 {
    let again = retry::remember(totals, client, isn, now);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *totals };
    totals.suppressed_retries += u64::from(again);
    totals.suppressed_clients += u64::from(!again);
    0
}
