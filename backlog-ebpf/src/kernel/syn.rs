//! A SYN at a listener: `tcp_conn_request`, and what it calls only for some.

use backlog_ebpf::{
    cause::{Beside, Cause},
    totals::Totals,
};

use super::{
    distribution, filter,
    globals::{ICSK_FASTOPEN_LIMIT, ICSK_SYN_QUEUE, NET_SYNCOOKIES, SKC_NET},
    join,
    listener::{self, Seen},
    look::{self, Counted},
    met::{self, Met},
    place::Place,
    read,
    refuse::{Refusal, refused},
    site::{self, Hint},
    types::{Net, SkBuff, Sock},
};

/// `net.ipv4.tcp_syncookies`: for every SYN.
const COOKIES_ALWAYS: u8 = 2;

/// Body: `tcp_conn_request(rsk_ops, af_ops, sk, skb)` returns. Every SYN comes here, so what
/// is ordinary ends soon. The next look must not find the moves of a packet at another port,
/// which is refused, if it is, by a full queue; what else refuses it is rare, and the
/// listener's own `sk_drops` bounds what a look may count.
#[inline(always)]
pub(crate) fn done(sk: impl Place<Sock>, skb: impl Place<SkBuff>) {
    if !filter::listener(sk) {
        if listener::is_full(sk) {
            let net: *const Net = read::pointer(sk.address(), &SKC_NET);
            look::pass(net);
        }
        return;
    }
    let net = read::pointer(sk, &SKC_NET);
    let met = met::met(sk.address());
    let most = met::refused_since(met, sk);
    let kind = kind(met, sk, net);
    if most == 0 && matches!(kind, Kind::Ordinary) {
        return;
    }
    if matches!(kind, Kind::Ordinary)
        && listener::is_full(sk)
        && let Some(met) = met
        && look::overflowed(net)
    {
        overflowed(sk, met, skb.address());
    } else {
        looked_at(sk.address(), skb.address(), net.address(), most);
    }
}

/// What a SYN may have moved beside the two counters of a full accept queue.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing.
    Ordinary,
    /// The SYN queue is longer than ever.
    Longer,
    /// Other counters, by a cookie or by Fast Open.
    Special,
}

#[inline(always)]
fn kind(met: Option<*mut Met>, sk: impl Place<Sock>, net: impl Place<Net>) -> Kind {
    let (Some(whole), Some(met)) = (sk.whole(), met) else { return Kind::Special };
    let queue: u32 = read::field(whole, &ICSK_SYN_QUEUE);
    // SAFETY: this CPU's note of the listener.
    let longest = unsafe { (*met).syn_queue };
    if queue > longest {
        // SAFETY: as above.
        unsafe { (*met).syn_queue = queue };
    }
    let limit = listener::limit(sk);
    // Another CPU may have taken some away since the kernel looked.
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

/// A SYN that a full accept queue has refused, which is all that a flood brings: nothing
/// else is looked at. A function of its own in the program as well, for its stack.
#[inline(never)]
fn overflowed<S: Place<Sock>>(sk: S, met: *mut Met, skb: *const SkBuff) -> u32 {
    if filter::packet(skb)
        && let Some(seen) = met::seen_of(met)
    {
        let cause = Cause::AcceptQueueFullSyn;
        refused(
            sk,
            seen,
            Refusal { cause, sk_drops: 1, counted: true },
            || false,
            || read::sender(skb),
        );
    }
    0
}

#[inline(always)]
fn looked_at(sk: *const Sock, skb: *const SkBuff, net: *const Net, most: u32) {
    let hint = site::told();
    let moved = look::look(net);
    if !filter::packet(skb) {
        return;
    }
    let Some(mut moved) = moved else {
        if most != 0 && listener::has_dropped(sk) {
            look::hidden();
        }
        return;
    };
    moved.at_most(most);
    let dropped = moved.drops != 0;
    // A SYN at a listener that has just closed is worth no slot, a drop is.
    let found = if dropped { listener::of(sk) } else { listener::find(sk) };
    if let Some(seen) = found {
        judge(&moved, sk, seen, skb, || hint);
    }
}

/// Counts what a SYN has come to. `hint` is asked if it was refused, and nothing else says
/// why.
#[inline(always)]
pub(super) fn judge(
    moved: &Counted,
    sk: impl Place<Sock>,
    seen: Seen,
    skb: *const SkBuff,
    hint: impl FnOnce() -> Hint,
) {
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    // The newcomer is in it, unless it was refused.
    listener::syn_peak(totals, sk);
    if moved.queue_cookie != 0 {
        crowded(totals, sk, seen.slot);
    }
    let mut count = |beside: Beside, moved: u64| totals.beside[beside as usize] += moved;
    count(Beside::SynQueueFullCookie, moved.queue_cookie);
    count(Beside::SynCookieSent, moved.cookie_sent);
    count(Beside::FastopenQueueFull, moved.fastopen_full);
    if moved.drops == 0 {
        return;
    }
    match verdict(moved, skb, hint) {
        Ok(cause) => {
            unseen(totals, cause, moved.drops - 1);
            let refusal = Refusal { cause, sk_drops: 1, counted: true };
            refused(sk, seen, refusal, || false, || read::sender(skb));
        }
        Err(beside) => {
            count(beside, 1);
            totals.sk_drops += 1;
        }
    }
}

/// Estimates how long a SYN queue would be that had room for a SYN which got a cookie. With
/// `tcp_syncookies=2` all get one, whatever room there is.
#[inline(always)]
fn crowded(totals: &mut Totals, sk: impl Place<Sock>, slot: u32) {
    let (queue, limit) = (listener::syn_queue(sk), listener::limit(sk));
    // Another CPU may have taken some away since the kernel looked.
    if queue >= limit - (limit >> 3) {
        let needed = distribution::crowded(slot, queue, listener::now());
        if needed > totals.syn_needed {
            totals.syn_needed = needed;
        }
    }
}

/// Why `ListenDrops` moved. The kernel tests the SYN queue before the accept queue and
/// both before everything else, and stops at the first.
#[inline(always)]
fn verdict(
    moved: &Counted,
    skb: *const SkBuff,
    hint: impl FnOnce() -> Hint,
) -> Result<Cause, Beside> {
    if moved.queue_drop != 0 {
        return Ok(Cause::SynQueueFull);
    }
    // A Fast Open child that cannot be made counts like a lost SYN, and is none: the
    // handshake goes on without data.
    if moved.fastopen_failed != 0 {
        return Err(Beside::FastopenFailed);
    }
    if moved.overflows != 0 {
        return Ok(Cause::AcceptQueueFullSyn);
    }
    match hint() {
        Hint::LastQuarter => Ok(Cause::LastQuarter),
        Hint::NotQueued => Ok(Cause::ListenerLeft),
        Hint::None if join::is_join(skb) => Err(Beside::JoinRefused),
        Hint::None => Ok(Cause::Other),
    }
}

/// Packets before this one whose end was not seen: counted like it, and nothing is told
/// of them.
#[inline(always)]
pub(super) fn unseen(totals: &mut Totals, cause: Cause, count: u64) {
    totals.drops[cause as usize] += count;
    totals.unrecorded += count;
}

/// Body: `tcp_peer_is_proven(req, dst)` returned `proven`. It is asked for nothing
/// but the last-quarter rule, and only when that holds (5.10 to 7.3).
#[inline(always)]
pub(crate) fn peer_asked(proven: u64) {
    if proven & 0xff == 0 {
        site::tell(Hint::LastQuarter);
    }
}
