//! Retries of dropped clients: a dropped attempt is kept in a table, and a record is sent if a
//! retry gets in meanwhile. For a listener without drops this costs one comparison per connection.

use backlog_ebpf::{
    AF_INET,
    attempt::{self, Attempt, KEPT_NS},
    record::{Admitted, Dequeued, Endpoint, Kind, Leaving},
    totals::Totals,
};

use crate::kernel::{
    globals::{TP_COPIED_SEQ, TP_RCV_NXT},
    read, time,
    types::{SkBuff, Sock, TCP_CLOSE, TCP_CLOSE_WAIT},
};
use crate::state::{
    histograms,
    maps::ATTEMPTS,
    ring,
    slots::{self, Tracked},
};

/// The word before the address in an IPv4-mapped IPv6 address, in native byte order: `00 00 ff ff`.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

#[inline(always)]
fn tag(client: &Endpoint, isn: u32) -> u64 {
    let word = |at: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| client.addr[at + byte]);
        u64::from(u32::from_ne_bytes([a, b, c, d]))
    };
    let (high, low) = if client.family == AF_INET {
        (0, u64::from(MAPPED) | (word(0) << 32))
    } else {
        (word(0) | (word(4) << 32), word(8) | (word(12) << 32))
    };
    attempt::tag(high, low, client.port, isn)
}

#[inline(always)]
fn at(place: u32) -> Option<*mut Attempt> {
    ATTEMPTS.get_ptr_mut(place)
}

/// Stores a dropped attempt, and returns whether it was stored before. If attempts that may still
/// be retried hold both its places, the older one is evicted and counted.
#[inline(always)]
pub(crate) fn remember(totals: *mut Totals, client: &Endpoint, isn: u32, now: u64) -> bool {
    let tag = tag(client, isn);
    let place = attempt::place(tag);
    let (Some(first), Some(second)) = (at(place), at(place ^ 1)) else { return false };
    // SAFETY: elements of an array. Two CPUs may write one at the same time: then one attempt is
    // lost, or gets the other's time; a tag is written as a whole.
    unsafe {
        let chosen = if (*first).tag == tag || (*first).tag == 0 {
            first
        } else if (*second).tag == tag
            || (*second).tag == 0
            || (*second).refused_ns < (*first).refused_ns
        {
            second
        } else {
            first
        };
        let Attempt { tag: before, refused_ns } = *chosen;
        if before != 0 && before != tag && now < refused_ns + KEPT_NS {
            (*totals).retry_table_evictions += 1;
        }
        (*chosen).refused_ns = now;
        (&raw mut (*chosen).tag).write_volatile(tag);
        before == tag
    }
}

/// Whether this SYN is a retry of an attempt in the table. Not inlined: it is rare and long.
#[inline(never)]
pub(crate) fn is_from_refused(syn: *const SkBuff) -> bool {
    let (client, isn) = read::sender(syn);
    let tag = tag(&client, isn);
    let place = attempt::place(tag);
    [place, place ^ 1].into_iter().any(|place| {
        // SAFETY: an element of an array; a tag is read as a whole.
        at(place).is_some_and(|found| unsafe { (*found).tag == tag })
    })
}

/// Removes an attempt, and returns whether it was in the table.
#[inline(always)]
fn take(tag: u64) -> bool {
    let place = attempt::place(tag);
    for place in [place, place ^ 1] {
        let Some(found) = at(place) else { return false };
        // SAFETY: as in `remember`.
        unsafe {
            if (*found).tag == tag {
                (&raw mut (*found).tag).write_volatile(0);
                return true;
            }
        }
    }
    false
}

/// Reports a connection that was queued at a listener with recent drops, if its client had been
/// dropped. This CPU still holds the socket's lock, so no data has been read, and the next byte to
/// read follows the client's initial sequence number. Returns that number for [`on_dequeue`], or
/// zero for a client that was not dropped. Not inlined: it is rare and long.
#[inline(never)]
pub(crate) fn on_readmitted(tracked: Tracked, child: *const Sock, depth: u32, now: u64) -> u32 {
    let client = read::remote(child);
    let isn = read::field::<_, u32>(child, &TP_COPIED_SEQ).wrapping_sub(1);
    if take(tag(&client, isn)) {
        let fill = |record: &mut Admitted| {
            let acceptor = histograms::acceptor_state(tracked.slot);
            *record = Admitted {
                header: ring::header::<Admitted>(Kind::Admitted, tracked.slot, now),
                isn,
                depth,
                client,
                trough: acceptor.trough,
                free_ns: acceptor.free_ns,
                paced_ns: acceptor.paced_ns,
                paced: acceptor.paced,
                arrived: acceptor.arrived,
            };
        };
        ring::send(Kind::Admitted, tracked.totals, ring::wake_in_batches(), fill);
        // Zero means none, so an ISN of zero becomes one: userspace also looks for the number below.
        return if isn == 0 { 1 } else { isn };
    }
    0
}

/// Reports the accept of a connection whose client had been dropped before. `state` is the state of
/// the connection; zero means that it has just been queued.
#[inline(always)]
pub(crate) fn on_accept(slot: u32, child: *const Sock, isn: u32, state: u8) {
    // A SYN and a FIN count as one each.
    let received = read::field::<_, u32>(child, &TP_RCV_NXT).wrapping_sub(isn);
    let leaving = match state {
        TCP_CLOSE => Leaving::Reset,
        TCP_CLOSE_WAIT if received == 2 => Leaving::Fin,
        TCP_CLOSE_WAIT => Leaving::FinAfterData,
        _ if received > 1 => Leaving::AcceptedWithData,
        _ => Leaving::Accepted,
    };
    if let Some(tracked) = slots::tracked(slot) {
        on_dequeue(tracked, child, isn, leaving);
    }
}

/// Reports how a connection of a previously dropped client left the queue. The call is not inlined,
/// like [`on_readmitted`].
#[inline(always)]
pub(crate) fn on_dequeue(tracked: Tracked, child: *const Sock, isn: u32, leaving: Leaving) {
    send_dequeued(tracked, child, isn, leaving as u32);
}

#[inline(never)]
fn send_dequeued(tracked: Tracked, child: *const Sock, isn: u32, leaving: u32) -> u32 {
    let client = read::remote(child);
    ring::send(Kind::Dequeued, tracked.totals, ring::wake_in_batches(), |record: &mut Dequeued| {
        *record = Dequeued {
            header: ring::header::<Dequeued>(Kind::Dequeued, tracked.slot, time::now()),
            isn,
            leaving,
            client,
            pad: 0,
        };
    });
    0
}
