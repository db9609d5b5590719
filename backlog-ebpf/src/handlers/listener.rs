//! Listeners: finds the slot of a socket, or assigns one, and handles the opening and closing of
//! listeners.

use backlog_ebpf::record::{ASKED, CLOSING, Kind, LISTENING, OPENED_NOW, TOLD};

use crate::kernel::{
    globals::{SK_DROPS, SKC_STATE},
    log::trace_log,
    read, sock, time,
    types::{IPPROTO_TCP, Sock, TCP_LISTEN},
};
use crate::state::{
    filter, listener_cache,
    listener_info::{self, LISTENS_AGAIN, NO_SLOT},
    maps::{CLOSED, LISTENERS, SLOT_INFO, STRAY},
    ring, shared,
    slots::{self, Known, Tracked},
};

/// The listener of a socket; it gets a slot if it has none yet. None for one that has closed: it
/// had a slot and gets no second one.
#[inline(always)]
pub(crate) fn find(sk: *const Sock) -> Option<Tracked> {
    find_known(sk)?.tracked()
}

/// Like [`find`], without the totals.
#[inline(always)]
fn find_known(sk: *const Sock) -> Option<Known> {
    if let Some(cached) = listener_cache::find(sk) {
        return Some(Known::cached(cached));
    }
    if let Some(slot) = slots::find(sk) {
        return Some(Known::at(slot));
    }
    if read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN
        || !filter::namespace(sk)
        || !filter::chosen(sk)
    {
        return None;
    }
    register(sk, 0)
}

/// Like [`find`], for an event that must be counted: falls back to the slot of a listener that has
/// just closed.
#[inline(always)]
pub(crate) fn of(sk: *const Sock) -> Option<Tracked> {
    known_of(sk)?.tracked()
}

/// Like [`of`], without the totals.
#[inline(always)]
pub(crate) fn known_of(sk: *const Sock) -> Option<Known> {
    let found = find_known(sk);
    if found.is_some() {
        return found;
    }
    // SAFETY: a slot number is never changed, only inserted and removed.
    let slot = unsafe { CLOSED.get(sk as u64) }.copied();
    if let Some(slot) = slot
        && SLOT_INFO.get(slot).is_some_and(|info| info.sk == sk as u64)
    {
        return Some(Known::at(slot));
    }
    // A listener that never had a slot may be excluded by the filter on owners.
    if slot.is_some() || !filter::by_owner() {
        count_closed(sk);
    }
    None
}

/// Counts an event at a listener that has closed, and that a packet on another CPU still found.
#[inline(always)]
fn count_closed(sk: *const Sock) {
    if read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN {
        count_unattributed();
    }
}

/// Counts an event at a closed listener that is no longer known.
#[inline(always)]
pub(crate) fn count_unattributed() {
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).closed += 1 };
    }
}

#[inline(always)]
fn register(sk: *const Sock, flags: u32) -> Option<Known> {
    match listener_info::register(sk, flags) {
        NO_SLOT => None,
        slot => Some(Known::at(slot)),
    }
}

/// Hook: a socket is about to enter LISTEN. Any entry under its address belongs to an earlier
/// socket whose end was missed.
#[inline(always)]
pub(crate) fn opening(sk: *const Sock) {
    if LISTENERS.remove(sk as u64).is_ok() {
        listener_cache::invalidate();
    }
    let _ = CLOSED.remove(sk as u64);
}

/// Hook: a socket has entered LISTEN. A packet may have found it and registered it already.
#[inline(always)]
pub(crate) fn opened(sk: *const Sock) {
    let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
    // DCCP comes here as well, up to 6.15.
    if !listens || read::protocol(sk) != IPPROTO_TCP || !filter::opening(sk) {
        return;
    }
    match slots::find(sk) {
        None => {
            listener_info::register(sk, OPENED_NOW | LISTENING);
        }
        Some(slot) => opened_late(sk, slot),
    }
}

/// Sends the data of a listen() call whose listener a packet has registered before the call
/// returned.
#[inline(always)]
fn opened_late(sk: *const Sock, slot: u32) {
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: an element of an array; only listen() calls change these, and they hold the
    // socket's lock.
    let listener = unsafe { &mut *info };
    listener.flags |= OPENED_NOW | LISTENING;
    listener_info::record_caller(listener, sk);
    ring::send_listener(Kind::Opened, info, totals, |_| {});
}

/// Hook: a socket is about to enter LISTEN, and has its port.
#[inline(always)]
pub(crate) fn opens(sk: *const Sock) {
    if shared::running() && filter::opening(sk) {
        listener_info::register(sk, OPENED_NOW | LISTENING);
    }
}

/// Hook: `__inet_listen_sk` has returned. If `inet_listen` called it, that returns next for the
/// same call.
#[inline(always)]
pub(crate) fn listened_within(sk: *const Sock) {
    listened(sk, TOLD);
}

/// Hook: `listen()` has returned. On a socket that was already in LISTEN it has only changed the
/// limit. `reported`: `TOLD` if a hooked caller will return for the same call.
#[inline(always)]
pub(crate) fn listened(sk: *const Sock, reported: u32) {
    let Some(slot) = slots::find(sk) else {
        // It was open before the start and has had no event yet. Its first record has the new
        // limit, and userspace knows the old one.
        let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN;
        if listens && read::protocol(sk) == IPPROTO_TCP && filter::opening(sk) {
            register(sk, LISTENS_AGAIN | reported);
        }
        return;
    };
    let Some(Tracked { totals, .. }) = slots::tracked(slot) else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: an element of an array; only listen() calls change these, and they hold the
    // socket's lock.
    let listener = unsafe { &mut *info };
    let (was, limit, flags) = (listener.limit, sock::limit(sk), listener.flags);
    listener.flags = (flags & !(LISTENING | TOLD)) | reported;
    let opened = flags & LISTENING != 0 && was == limit;
    if opened || (flags & TOLD != 0 && reported == 0) {
        return;
    }
    listener.limit = limit;
    listener_info::record_caller(listener, sk);
    if was == limit && listener.flags & ASKED == 0 {
        return;
    }
    let depth = sock::depth(sk);
    ring::send_listener(Kind::Limit, info, totals, |record| {
        record.header.time_ns = time::now();
        record.depth = depth;
        record.was = was;
    });
}

/// Hook: a listener is about to drop the connections in its queue. It keeps its slot, so that they
/// are counted while they are dropped; [`stopped`] removes it.
#[inline(always)]
pub(crate) fn stopping(sk: *const Sock) {
    // One that was open before the start may have had no event yet.
    let known = match slots::find(sk) {
        Some(slot) => slots::tracked(slot),
        None if filter::port_and_namespace(sk)
            && filter::chosen(sk)
            && read::protocol(sk) == IPPROTO_TCP =>
        {
            register(sk, 0).and_then(Known::tracked)
        }
        None => None,
    };
    let Some(Tracked { slot, totals, .. }) = known else { return };
    let Some(info) = SLOT_INFO.get_ptr_mut(slot) else { return };
    // SAFETY: written when the slot was given out; only its listener's close changes this.
    let listener = unsafe { &mut *info };
    if listener.flags & CLOSING != 0 {
        return;
    }
    listener.flags |= CLOSING;
    ring::send_listener(Kind::Closed, info, totals, |record| {
        record.header.time_ns = time::now();
        record.depth = sock::depth(sk);
        record.limit = sock::limit(sk);
        record.syn_queue = sock::syn_queue(sk);
        record.sk_drops = read::field(sk, &SK_DROPS);
    });
}

/// Hook: a listener has dropped its queue.
#[inline(always)]
pub(crate) fn stopped(sk: *const Sock) {
    if let Some(slot) = slots::find(sk) {
        trace_log!("a listener is gone");
        let _ = CLOSED.insert(sk as u64, slot, 0);
        let _ = LISTENERS.remove(sk as u64);
        listener_cache::invalidate();
    }
}
