//! SYNs at a listener: `tcp_conn_request`, and `tcp_peer_is_proven`, which it calls for some of
//! them.

use backlog_ebpf::{
    cause::{Beside, Cause},
    totals::Totals,
};

use super::{
    listener,
    packet_drop::{self, PacketDrop},
    retry, tally,
};
use crate::kernel::{
    globals::{ICSK_FASTOPEN_LIMIT, ICSK_SYN_QUEUE, NET_SYNCOOKIES, SKC_NET},
    mptcp,
    pointers::KernelPtr,
    read, sock, time,
    types::{Net, SkBuff, Sock},
};
use crate::state::{
    filter, histograms, listener_cache, mib_snapshot,
    scratch::{self, DropHint},
    slots::{Known, Tracked},
    values::{CachedListener, MibCounts},
};

/// The value of `net.ipv4.tcp_syncookies` that answers every SYN with a cookie.
const COOKIES_ALWAYS: u8 = 2;

/// Hook: `tcp_conn_request(rsk_ops, af_ops, sk, skb)` returns. Every SYN passes here, so the
/// ordinary case returns early. The next snapshot must not include the moves of a packet at a
/// filtered port: a full queue drops most of these, other reasons are rare, and the listener's own
/// `sk_drops` bounds the count of a snapshot.
#[inline(always)]
pub(crate) fn done(sk: impl KernelPtr<Sock>, skb: impl KernelPtr<SkBuff>) {
    if !filter::listener(sk) {
        if sock::is_full(sk) {
            let net: *const Net = read::pointer(sk.address(), &SKC_NET);
            mib_snapshot::refresh_if_moved(net);
        }
        return;
    }
    let net = read::pointer(sk, &SKC_NET);
    let cached = listener_cache::find(sk.address());
    let most = listener_cache::drops_since(cached, sk);
    let kind = kind(cached, sk, net);
    if most == 0 && matches!(kind, Kind::Ordinary) {
        return;
    }
    if matches!(kind, Kind::Ordinary)
        && sock::is_full(sk)
        && let Some(cached) = cached
        && mib_snapshot::is_one_overflow(net)
    {
        overflowed(sk, cached, skb.address());
    } else {
        compared(sk.address(), skb.address(), net.address(), most);
    }
}

/// What a SYN may have changed besides the two counters of a full accept queue.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing.
    Ordinary,
    /// The longest SYN queue that this CPU has seen here.
    Longer,
    /// Other counters, because of a cookie or Fast Open.
    Special,
}

#[inline(always)]
fn kind(
    cached: Option<*mut CachedListener>,
    sk: impl KernelPtr<Sock>,
    net: impl KernelPtr<Net>,
) -> Kind {
    let (Some(whole), Some(cached)) = (sk.as_tcp_sock(), cached) else { return Kind::Special };
    let queue: u32 = read::field(whole, &ICSK_SYN_QUEUE);
    // SAFETY: this CPU's cache entry of the listener.
    let longest = unsafe { (*cached).syn_queue };
    if queue > longest {
        // SAFETY: as above.
        unsafe { (*cached).syn_queue = queue };
    }
    let limit = sock::limit(sk);
    // Another CPU may have removed requests since the kernel compared the length.
    if queue >= limit - (limit >> 3)
        || read::field::<_, u32>(whole, &ICSK_FASTOPEN_LIMIT) != 0
        || read::field::<_, u8>(net, &NET_SYNCOOKIES) == COOKIES_ALWAYS
    {
        Kind::Special
    } else if queue > longest {
        Kind::Longer
    } else {
        Kind::Ordinary
    }
}

/// Counts a SYN that a full accept queue dropped. A flood has only this case, so it reads nothing
/// else. Not inlined, so that it has its own stack frame.
#[inline(never)]
fn overflowed<S: KernelPtr<Sock>>(sk: S, cached: *mut CachedListener, skb: *const SkBuff) -> u32 {
    if filter::packet(skb)
        && let Some(tracked) = Known::cached(cached).tracked()
    {
        let cause = Cause::AcceptQueueFullSyn;
        packet_drop::count_drop(
            sk,
            tracked,
            PacketDrop { cause, sk_drops: 1, counted: true },
            || false,
            || read::sender(skb),
        );
    }
    0
}

#[inline(always)]
fn compared(sk: *const Sock, skb: *const SkBuff, net: *const Net, most: u32) {
    let hint = scratch::take_hint();
    let moved = mib_snapshot::snapshot_delta(net);
    if !filter::packet(skb) {
        return;
    }
    let Some(mut moved) = moved else {
        if most != 0 && sock::has_dropped(sk) {
            mib_snapshot::count_hidden();
        }
        return;
    };
    moved.at_most(most);
    // At a listener that has just closed, whatever the kernel has counted must still be counted; an
    // ordinary SYN need not be.
    let counts = moved.drops | moved.queue_cookie | moved.cookie_sent | moved.fastopen_full;
    let found = if counts != 0 { listener::of(sk) } else { listener::find(sk) };
    if let Some(tracked) = found {
        classify_syn(&moved, sk, tracked, skb, || hint);
    }
}

/// Counts the outcome of a SYN. `hint` is called only if it was dropped and no counter says why.
#[inline(always)]
pub(crate) fn classify_syn(
    moved: &MibCounts,
    sk: impl KernelPtr<Sock>,
    tracked: Tracked,
    skb: *const SkBuff,
    hint: impl FnOnce() -> DropHint,
) {
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    // The queue includes this SYN's request, unless it was dropped.
    tally::syn_queue_peak(totals, sk);
    // The kernel counts a SYN at a full SYN queue before it checks the accept queue. One that a
    // full accept queue drops gets no cookie, and no ACK will follow.
    if moved.queue_cookie != 0 && moved.cookie_sent != 0 {
        estimate_needed_queue(totals, sk, tracked.slot, skb);
    }
    let mut count = |beside: Beside, moved: u64| totals.beside[beside as usize] += moved;
    count(Beside::SynQueueFullCookie, moved.queue_cookie);
    count(Beside::SynCookieSent, moved.cookie_sent);
    count(Beside::FastopenQueueFull, moved.fastopen_full);
    if moved.drops == 0 {
        return;
    }
    match classify_drop(moved, skb, hint) {
        Ok(cause) => {
            let details = PacketDrop { cause, sk_drops: 1, counted: true };
            count_unrecorded(totals, &details, moved.drops - 1);
            packet_drop::count_drop(sk, tracked, details, || false, || read::sender(skb));
        }
        Err(beside) => {
            count(beside, 1);
            totals.sk_drops += 1;
        }
    }
}

/// Estimates how long the SYN queue would be with room for a SYN that got a cookie. With
/// `tcp_syncookies=2` every SYN gets one, even if there is room. Retries of dropped SYNs do not
/// count: with room for the first one, the client would not have retried.
#[inline(always)]
fn estimate_needed_queue(
    totals: &mut Totals,
    sk: impl KernelPtr<Sock>,
    slot: u32,
    skb: *const SkBuff,
) {
    let (queue, limit) = (sock::syn_queue(sk), sock::limit(sk));
    let now = time::now();
    // Another CPU may have removed requests since the kernel compared the length.
    if queue >= limit - (limit >> 3)
        && !(histograms::refused_lately(slot, now) && retry::is_from_refused(skb))
    {
        let needed = histograms::needed_syn_queue(slot, queue, now);
        if needed > totals.syn_needed {
            totals.syn_needed = needed;
        }
    }
}

/// Why `ListenDrops` moved. The kernel tests the SYN queue before the accept queue and both before
/// everything else, and stops at the first failure.
#[inline(always)]
fn classify_drop(
    moved: &MibCounts,
    skb: *const SkBuff,
    hint: impl FnOnce() -> DropHint,
) -> Result<Cause, Beside> {
    if moved.queue_drop != 0 {
        return Ok(Cause::SynQueueFull);
    }
    // A Fast Open child that cannot be created counts like a dropped SYN but is not one: the
    // handshake continues without data.
    if moved.fastopen_failed != 0 {
        return Err(Beside::FastopenFailed);
    }
    if moved.overflows != 0 {
        return Ok(Cause::AcceptQueueFullSyn);
    }
    match hint() {
        DropHint::LastQuarter => Ok(Cause::LastQuarter),
        DropHint::NotQueued => Ok(Cause::ListenerLeft),
        DropHint::None if mptcp::is_join(skb) => Err(Beside::JoinRefused),
        DropHint::None => Ok(Cause::Other),
    }
}

/// Counts earlier drops, whose exits no program saw, like this one and without records.
#[inline(always)]
pub(crate) fn count_unrecorded(totals: &mut Totals, like: &PacketDrop, count: u64) {
    totals.drops[like.cause as usize] += count;
    totals.sk_drops += like.sk_drops * count;
    totals.records_suppressed += count;
}

/// Hook: `tcp_peer_is_proven(req, dst)` returned `proven`. The kernel calls it only for the
/// last-quarter rule, and only when that applies (5.10 to 7.3).
#[inline(always)]
pub(crate) fn on_peer_checked(proven: u64) {
    if proven & 0xff == 0 {
        scratch::set_hint(DropHint::LastQuarter);
    }
}
