//! Listeners: from a socket to its slot, and the hooks of its birth and death.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use backlog_ebpf::{
    record::{ASKED, CLOSING, Kind, LISTENING, OPENED_NOW, TOLD},
    totals::Totals,
};

use super::{
    filter,
    globals::{ICSK_SYN_QUEUE, SK_ACK_BACKLOG, SK_DROPS, SK_MAX_ACK_BACKLOG, SKC_STATE},
    log::trace_log,
    maps::{CLOSED, LISTENERS, SLOT_INFO, STRAY, TOTALS},
    met::{forget, met, seen_of, slot_of},
    note::{LISTENS_AGAIN, NO_SLOT, add, called},
    out,
    place::Place,
    read,
    types::{IPPROTO_TCP, Sock, TCP_LISTEN},
};

/// A listener that has a slot, with this CPU's totals.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) slot: u32,
    pub(crate) totals: *mut Totals,
    /// May MPTCP connections join through it?
    pub(crate) joins: bool,
}

/// The totals of a slot on this CPU.
#[inline(always)]
pub(crate) fn seen(slot: u32) -> Option<Seen> {
    TOTALS.get_ptr_mut(slot).map(|totals| Seen { slot, totals, joins: true })
}

/// Is the accept queue full?
#[inline(always)]
pub(crate) fn is_full(sk: impl Place<Sock>) -> bool {
    depth(sk) > limit(sk)
}

/// Is this listener known?
#[inline(always)]
pub(crate) fn has_slot(sk: *const Sock) -> bool {
    slot_of(sk).is_some()
}

/// Is this listener known, and not about to close?
#[inline(always)]
pub(crate) fn is_open(sk: *const Sock) -> bool {
    slot_of(sk)
        .and_then(|slot| SLOT_INFO.get(slot))
        .is_some_and(|info| info.flags & CLOSING == 0 && info.flags & OPENED_NOW != 0)
}

/// The listener behind a socket; it gets a slot if it has none yet. None for one that
/// has closed: it has had its slot and gets no second one.
#[inline(always)]
pub(crate) fn find(sk: *const Sock) -> Option<Seen> {
    if let Some(met) = met(sk) {
        return seen_of(met);
    }
    if let Some(slot) = slot_of(sk) {
        return seen(slot);
    }
    if read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN
        || !filter::namespace(sk)
        || !filter::chosen(sk)
    {
        return None;
    }
    added(sk, 0)
}

/// Is this listener known, or was it until it closed a moment ago?
#[inline(always)]
pub(crate) fn was_known(sk: *const Sock) -> bool {
    // SAFETY: as in `slot_of`; what lies there is not looked at.
    has_slot(sk) || unsafe { CLOSED.get(sk as u64) }.is_some()
}

/// The same for an event that must be counted somewhere: at the slot that a listener had
/// a moment ago, if need be.
#[inline(always)]
pub(crate) fn of(sk: *const Sock) -> Option<Seen> {
    let found = find(sk);
    if found.is_some() {
        return found;
    }
    // SAFETY: as in `slot_of`.
    let slot = unsafe { CLOSED.get(sk as u64) }.copied();
    if let Some(slot) = slot
        && SLOT_INFO.get(slot).is_some_and(|info| info.sk == sk as u64)
    {
        return seen(slot);
    }
    // One that never had a slot may be one that is left out.
    if slot.is_some() || !filter::by_owner() {
        stray_closed(sk);
    }
    None
}

/// Counts an event at a listener that has closed and is still met by a packet on
/// another CPU.
#[inline(always)]
fn stray_closed(sk: *const Sock) {
    if read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN {
        stray();
    }
}

/// Counts an event at a listener that has closed and is not known any more.
#[inline(always)]
pub(crate) fn stray() {
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).closed += 1 };
    }
}

#[inline(always)]
fn added(sk: *const Sock, flags: u32) -> Option<Seen> {
    match add(sk, flags) {
        NO_SLOT => None,
        slot => seen(slot),
    }
}

/// Was this slot given to its listener before that time? If not, it is another's
/// by now.
#[inline(always)]
pub(crate) fn had_slot(slot: u32, time_ns: u64) -> bool {
    SLOT_INFO.get(slot).is_some_and(|info| info.header.time_ns <= time_ns)
}

/// Depth of the accept queue, now.
#[inline(always)]
pub(crate) fn depth(sk: impl Place<Sock>) -> u32 {
    read::field(sk, &SK_ACK_BACKLOG)
}

/// Has it ever refused a packet?
#[inline(always)]
pub(crate) fn has_dropped(sk: impl Place<Sock>) -> bool {
    read::field::<_, u32>(sk, &SK_DROPS) != 0
}

/// The granted backlog, now: a second `listen()` changes it.
#[inline(always)]
pub(crate) fn limit(sk: impl Place<Sock>) -> u32 {
    read::field(sk, &SK_MAX_ACK_BACKLOG)
}

/// Requests in the SYN queue, now.
#[inline(always)]
pub(crate) fn syn_queue(sk: impl Place<Sock>) -> u32 {
    sk.whole().map_or(0, |whole| read::field(whole, &ICSK_SYN_QUEUE))
}

/// Notes the length of the SYN queue.
#[inline(always)]
pub(crate) fn syn_peak(totals: &mut Totals, sk: impl Place<Sock>) {
    let length = syn_queue(sk);
    if length > totals.syn_queue_peak {
        totals.syn_queue_peak = length;
        totals.syn_queue_peak_ns = now();
    }
}

/// Body: a socket is about to enter LISTEN. What stands under its address is of an
/// earlier socket, whose end was missed.
#[inline(always)]
pub(crate) fn opening(sk: *const Sock) {
    if LISTENERS.remove(sk as u64).is_ok() {
        forget();
    }
    let _ = CLOSED.remove(sk as u64);
}

/// Body: a socket has entered LISTEN. A packet may have found it already.
#[inline(always)]
pub(crate) fn opened(sk: *const Sock) {
    let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
    // DCCP comes here as well, up to 6.15.
    if !listens || read::protocol(sk) != IPPROTO_TCP || !filter::opening(sk) {
        return;
    }
    match slot_of(sk) {
        None => {
            add(sk, OPENED_NOW | LISTENING);
        }
        Some(slot) => met_before(sk, slot),
    }
}

/// A packet has found a listener before the call that opens it has returned: what is known of
/// that call is told now.
#[inline(always)]
fn met_before(sk: *const Sock, slot: u32) {
    let Some(Seen { totals, .. }) = seen(slot) else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: an element of an array; only listen() calls change these, and they hold the
    // socket's lock.
    let note = unsafe { &mut *info };
    note.flags |= OPENED_NOW | LISTENING;
    called(note, sk);
    out::listener(Kind::Opened, info, totals, |_| {});
}

/// Body: a socket is about to enter LISTEN, and has its port.
#[inline(always)]
pub(crate) fn opens(sk: *const Sock) {
    if filter::running() && filter::opening(sk) {
        add(sk, OPENED_NOW | LISTENING);
    }
}

/// Body: `__inet_listen_sk` has returned. Where it is called by `inet_listen`, that returns
/// next, for the same call.
#[inline(always)]
pub(crate) fn listened_within(sk: *const Sock) {
    listened(sk, TOLD);
}

/// Body: `listen()` has returned. At a socket that was in LISTEN already it has only
/// changed the limit.
#[inline(always)]
pub(crate) fn listened(sk: *const Sock, told: u32) {
    let Some(slot) = slot_of(sk) else {
        // It was open before the start and has had no event yet. Its first record tells
        // the limit, and userspace knows the one before.
        let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
        if listens && read::protocol(sk) == IPPROTO_TCP && filter::opening(sk) {
            added(sk, LISTENS_AGAIN | told);
        }
        return;
    };
    let Some(Seen { totals, .. }) = seen(slot) else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: an element of an array; only listen() calls change these, and they hold the
    // socket's lock.
    let note = unsafe { &mut *info };
    let (was, limit, flags) = (note.limit, limit(sk), note.flags);
    note.flags = (flags & !(LISTENING | TOLD)) | told;
    let opened = flags & LISTENING != 0 && was == limit;
    if opened || (flags & TOLD != 0 && told == 0) {
        return;
    }
    note.limit = limit;
    called(note, sk);
    if was == limit && note.flags & ASKED == 0 {
        return;
    }
    let depth = depth(sk);
    out::listener(Kind::Limit, info, totals, |record| {
        record.header.time_ns = now();
        record.depth = depth;
        record.was = was;
    });
}

/// Body: a listener is about to drop what is in its queue. Its slot stays, so
/// that its children find it while they are dropped; [`stopped`] ends it.
#[inline(always)]
pub(crate) fn stopping(sk: *const Sock) {
    // One that was open before the start may have had no event yet.
    let known = match slot_of(sk) {
        Some(slot) => seen(slot),
        None if filter::place(sk) && filter::chosen(sk) && read::protocol(sk) == IPPROTO_TCP => {
            added(sk, 0)
        }
        None => None,
    };
    let Some(Seen { slot, totals, .. }) = known else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: written when the slot was given out; only its listener's close changes this.
    let note = unsafe { &mut *info };
    if note.flags & CLOSING != 0 {
        return;
    }
    note.flags |= CLOSING;
    out::listener(Kind::Closed, info, totals, |record| {
        record.header.time_ns = now();
        record.depth = depth(sk);
        record.limit = limit(sk);
        record.syn_queue = syn_queue(sk);
        record.sk_drops = read::field(sk, &SK_DROPS);
    });
}

/// The listener that is dropping its queue.
#[inline(always)]
pub(crate) fn closing(sk: *const Sock) -> Option<Seen> {
    seen(slot_of(sk)?)
}

/// Body: a listener has dropped its queue.
#[inline(always)]
pub(crate) fn stopped(sk: *const Sock) {
    if let Some(slot) = slot_of(sk) {
        trace_log!("a listener is gone");
        let _ = CLOSED.insert(sk as u64, slot, 0);
        let _ = LISTENERS.remove(sk as u64);
        forget();
    }
}

/// Counts an accept that was noted in two halves.
#[inline(always)]
pub(crate) fn accepted_unseen(slot: u32) {
    if let Some(Seen { totals, .. }) = seen(slot) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*totals).accepted += 1 };
    }
}

/// `CLOCK_MONOTONIC` nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
