//! Classifies a packet that has just been freed, by the moves of the counters.

use backlog_ebpf::cause::{Beside, Cause};

use super::{birth, packet::Packet, ports};
use crate::handlers::{
    listener,
    packet_drop::{self, PacketDrop},
    syn, tally,
};
use crate::kernel::{
    globals::{NET_ABORT_ON_OVERFLOW, NET_MAX_SYN_BACKLOG, NET_SYNCOOKIES},
    mptcp, read, sock,
    types::{Net, Sock, TCP_FIN},
};
use crate::state::{filter, maps::STRAY, mib_snapshot, scratch::DropHint, shared, slots::Tracked};

/// A SYN at a listener.
#[inline(always)]
pub(super) fn syn(packet: &Packet) {
    // Also for filtered ports: the next snapshot must not include this packet's moves.
    let moved = mib_snapshot::snapshot_delta(packet.net);
    if !shared::running() || !filter::packet(packet.skb) {
        return;
    }
    birth::syn_done();
    let Some(moved) = moved else { return unknown(packet) };
    let dropped = moved.drops != 0;
    let found = if dropped {
        ports::refused_by(packet.net as u64, packet.port)
    } else {
        ports::first(packet.net as u64, packet.port)
    };
    let Some((sk, tracked)) = tracked_at(found, dropped) else { return };
    // These cookies belong to earlier packets, whose freeing no program saw.
    tally::cookies_answered(tracked, moved.cookie_valid);
    syn::classify_syn(&moved, sk, tracked, packet.skb, || {
        let quarter = !mptcp::is_join(packet.skb) && last_quarter(packet.net, sk);
        if quarter { DropHint::LastQuarter } else { DropHint::None }
    });
}

/// An ICMP message says that a client is unreachable: if the kernel removes a request because of
/// it, it counts that like a dropped SYN.
#[inline(always)]
pub(super) fn unreachable(packet: &Packet) {
    let Some(moved) = mib_snapshot::snapshot_delta(packet.net) else { return };
    if moved.drops == 0 || !shared::running() {
        return;
    }
    let found = ports::refused_by(packet.net as u64, packet.port);
    if let Some((_, tracked)) = tracked_at(found, true) {
        // SAFETY: this CPU's element of the per-CPU array.
        let totals = unsafe { &mut *tracked.totals };
        totals.beside[Beside::Unreachable as usize] += 1;
        totals.sk_drops += 1;
    }
}

/// Whether the last-quarter rule applies (`tcp_conn_request`, 5.10 to 7.3). The kernel's exception
/// for clients that it knows is not visible here.
#[inline(always)]
fn last_quarter(net: *const Net, sk: *const Sock) -> bool {
    if read::field::<_, u8>(net, &NET_SYNCOOKIES) != 0 {
        return false;
    }
    let most: i32 = read::field(net, &NET_MAX_SYN_BACKLOG);
    most - (sock::syn_queue(sk) as i32) < most >> 2
}

/// An ACK that created no connection; `by` is the listener, if the kernel passes it.
#[inline(always)]
pub(super) fn ack(packet: &Packet, by: *const Sock) {
    let moved = mib_snapshot::snapshot_delta(packet.net);
    if !shared::running() || !filter::packet(packet.skb) {
        return;
    }
    let Some(moved) = moved else { return unknown(packet) };
    let (dropped, valid) = (moved.drops != 0, moved.cookie_valid != 0);
    // Without a route the kernel counts nothing.
    let lost = dropped || (valid && moved.children == 0);
    if !lost && !valid && moved.cookie_failed == 0 {
        return;
    }
    let found = if !by.is_null() {
        by
    } else if dropped {
        ports::refused_by(packet.net as u64, packet.port)
    } else {
        ports::first(packet.net as u64, packet.port)
    };
    let Some((sk, tracked)) = tracked_at(found, lost) else { return };
    tally::cookies_answered(tracked, moved.cookie_valid);
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    totals.beside[Beside::SynCookieFailed as usize] += moved.cookie_failed;
    if !lost {
        return;
    }
    let full = moved.overflows != 0;
    let resets = moved.resets != 0 || read::field::<_, u8>(packet.net, &NET_ABORT_ON_OVERFLOW) != 0;
    let cause = match (full, valid, resets) {
        (false, _, _) => Cause::NoChild,
        (true, true, _) => Cause::AcceptQueueFullCookie,
        (true, false, true) => Cause::AcceptQueueFullReset,
        (true, false, false) => Cause::AcceptQueueFullAck,
    };
    let sk_drops = match (dropped, valid) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    };
    let refused = PacketDrop { cause, sk_drops, counted: dropped };
    if dropped {
        syn::count_unrecorded(totals, &refused, moved.drops - 1);
    }
    packet_drop::count_drop(
        sk,
        tracked,
        refused,
        || packet.flags & TCP_FIN != 0,
        || {
            let (client, sequence) = read::sender(packet.skb);
            // The SYN's sequence number is one less than the ACK's.
            (client, sequence.wrapping_sub(1))
        },
    );
}

/// Handles a packet that may have been dropped, since the counters could not be compared. If it
/// was, a listener's `sk_drops` has moved.
#[inline(always)]
fn unknown(packet: &Packet) {
    if ports::may_have_refused(packet.net as u64, packet.port) {
        mib_snapshot::count_hidden();
    }
}

/// The listener with its totals. A drop at an unknown listener is counted as unattributed.
#[inline(always)]
fn tracked_at(sk: *const Sock, lost: bool) -> Option<(*const Sock, Tracked)> {
    let tracked = if sk.is_null() { None } else { listener::of(sk) };
    if tracked.is_none()
        && lost
        && !filter::by_owner()
        && let Some(stray) = STRAY.get_ptr_mut(0)
    {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).drops += 1 };
    }
    tracked.map(|tracked| (sk, tracked))
}
