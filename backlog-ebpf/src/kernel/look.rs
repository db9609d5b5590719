//! How far this CPU's counters of a namespace have moved since they were last looked at.
//! They are looked at whenever a packet that may have moved them is done with, in the same
//! softirq, so the move is that packet's.

use super::{
    counters::{self, Mib},
    filter,
    globals::{
        Field as _, MIB_EMBRYONIC_RSTS, MIB_FASTOPEN_FAILED, MIB_FASTOPEN_FULL, MIB_LISTEN_DROPS,
        MIB_LISTEN_OVERFLOWS, MIB_PASSIVE_OPENS, MIB_REQQ_FULL_COOKIES, MIB_REQQ_FULL_DROP,
        MIB_SYNCOOKIES_FAILED, MIB_SYNCOOKIES_RECV, MIB_SYNCOOKIES_SENT,
    },
    maps::{LOOKS, SCRATCH, STRAY},
    namespace::{self, identity},
    place::Place,
    read,
    types::Net,
};

/// Values of the counters, or their moves.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Counted {
    /// `ListenDrops`
    pub(crate) drops: u64,
    /// `ListenOverflows`
    pub(crate) overflows: u64,
    /// `TCPReqQFullDrop`
    pub(crate) queue_drop: u64,
    /// `TCPReqQFullDoCookies`
    pub(crate) queue_cookie: u64,
    /// `SyncookiesSent`
    pub(crate) cookie_sent: u64,
    /// `SyncookiesRecv`
    pub(crate) cookie_valid: u64,
    /// `SyncookiesFailed`
    pub(crate) cookie_failed: u64,
    /// `TCPFastOpenListenOverflow`
    pub(crate) fastopen_full: u64,
    /// `TCPFastOpenPassiveFail`
    pub(crate) fastopen_failed: u64,
    /// `EmbryonicRsts`
    pub(crate) resets: u64,
    /// `PassiveOpens`
    pub(crate) children: u64,
}

impl Counted {
    /// The listener itself has refused no more than so many.
    #[inline(always)]
    pub(crate) fn at_most(&mut self, most: u32) {
        if self.drops > u64::from(most) {
            self.drops = u64::from(most);
        }
    }

    /// Of one packet, whatever else has moved them.
    #[inline(always)]
    fn of_one(self) -> Self {
        let one = |moved: u64| u64::from(moved != 0);
        Self {
            drops: one(self.drops),
            overflows: one(self.overflows),
            queue_drop: one(self.queue_drop),
            queue_cookie: one(self.queue_cookie),
            cookie_sent: one(self.cookie_sent),
            cookie_valid: one(self.cookie_valid),
            cookie_failed: one(self.cookie_failed),
            fastopen_full: one(self.fastopen_full),
            fastopen_failed: one(self.fastopen_failed),
            resets: one(self.resets),
            children: one(self.children),
        }
    }

    #[inline(always)]
    fn now(mib: &Mib) -> Self {
        Self {
            drops: mib.get(&MIB_LISTEN_DROPS),
            overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
            queue_drop: mib.get(&MIB_REQQ_FULL_DROP),
            queue_cookie: mib.get(&MIB_REQQ_FULL_COOKIES),
            cookie_sent: mib.get(&MIB_SYNCOOKIES_SENT),
            cookie_valid: mib.get(&MIB_SYNCOOKIES_RECV),
            cookie_failed: mib.get(&MIB_SYNCOOKIES_FAILED),
            fastopen_full: mib.get(&MIB_FASTOPEN_FULL),
            fastopen_failed: mib.get(&MIB_FASTOPEN_FAILED),
            resets: mib.get(&MIB_EMBRYONIC_RSTS),
            children: mib.tcp(&MIB_PASSIVE_OPENS),
        }
    }

    #[inline(always)]
    fn since(&self, before: &Self) -> Self {
        Self {
            drops: self.drops.wrapping_sub(before.drops),
            overflows: self.overflows.wrapping_sub(before.overflows),
            queue_drop: self.queue_drop.wrapping_sub(before.queue_drop),
            queue_cookie: self.queue_cookie.wrapping_sub(before.queue_cookie),
            cookie_sent: self.cookie_sent.wrapping_sub(before.cookie_sent),
            cookie_valid: self.cookie_valid.wrapping_sub(before.cookie_valid),
            cookie_failed: self.cookie_failed.wrapping_sub(before.cookie_failed),
            fastopen_full: self.fastopen_full.wrapping_sub(before.fastopen_full),
            fastopen_failed: self.fastopen_failed.wrapping_sub(before.fastopen_failed),
            resets: self.resets.wrapping_sub(before.resets),
            children: self.children.wrapping_sub(before.children),
        }
    }
}

/// What this CPU found at its last look at a namespace. Every namespace that userspace can
/// enter is looked at on each CPU before the run. The first look at any other one counts from
/// zero if the namespace was made during the run; else it is only where the next one begins.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Look {
    counted: Counted,
    /// Which namespace has this address. Zero: this CPU has not looked at it.
    identity: u64,
    /// 1: the look was taken during the run.
    running: u64,
}

impl Look {
    #[inline(always)]
    fn new(counted: Counted, identity: u64) -> Self {
        Self { counted, identity, running: u64::from(filter::running()) }
    }
}

/// The last look on this CPU, for the next one at the same namespace: of `ListenOverflows`
/// and `ListenDrops` it knows more than the table, since in a flood nothing else is read.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Recent {
    net: u64,
    identity: u64,
    /// Where this CPU's `ListenDrops` of it are.
    drops_at: u64,
    /// How many they were.
    drops: u64,
    /// Likewise.
    overflows: u64,
}

impl Recent {
    #[inline(always)]
    fn is_of(&self, net: u64, identity: u64) -> bool {
        self.net == net && self.identity == identity
    }
}

/// May `ListenDrops` have moved since the last look? If not, nothing was refused.
#[inline(always)]
pub(crate) fn dropped(net: impl Place<Net>) -> bool {
    let Some(scratch) = SCRATCH.get_ptr(0) else { return true };
    // SAFETY: a per-CPU element; looks are taken with bottom halves off.
    let recent = unsafe { &(*scratch).recent };
    !recent.is_of(net.address() as u64, identity(net))
        || read::at::<_, u64>(recent.drops_at as *const u64, 0) != recent.drops
}

/// Has this CPU counted one overflow and one drop since the last look, and so refused a
/// packet for a full accept queue? It is a look of its own then.
#[inline(always)]
pub(crate) fn overflowed(net: impl Place<Net>) -> bool {
    let (first, second) = (MIB_LISTEN_OVERFLOWS.offset(), MIB_LISTEN_DROPS.offset());
    if first + 1 != second {
        return false;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // SAFETY: as in `dropped`.
    let recent = unsafe { &mut (*scratch).recent };
    if !recent.is_of(net.address() as u64, identity(net)) {
        return false;
    }
    let both = recent.drops_at.wrapping_sub(size_of::<u64>() as u64) as *const u64;
    let [overflows, drops]: [u64; 2] = read::at(both, 0);
    if overflows != recent.overflows.wrapping_add(1) || drops != recent.drops.wrapping_add(1) {
        return false;
    }
    (recent.overflows, recent.drops) = (overflows, drops);
    true
}

/// A packet that nobody wants to know of is done with: the next look must not find its move.
#[inline(always)]
pub(crate) fn pass(net: *const Net) {
    if dropped(net) {
        refresh(net as u64);
    }
}

/// A look whose moves are known otherwise. A function of its own in the program as well:
/// with what its callers keep on the stack there would be too much.
#[inline(never)]
pub(crate) fn refresh(net: u64) -> u32 {
    let net = net as *const Net;
    let Some(mib) = counters::here(net) else { return 0 };
    let now = Counted::now(&mib);
    let identity = identity(net);
    note(&mib, net, identity, &now);
    u32::from(keep(net, Look::new(now, identity)))
}

/// False: the table is full.
#[inline(always)]
fn keep(net: *const Net, look: Look) -> bool {
    if let Some(kept) = LOOKS.get_ptr_mut(net as u64) {
        // SAFETY: this CPU's element; looks are taken with bottom halves off.
        unsafe { *kept = look };
        return true;
    }
    // On other CPUs the kernel fills in zeros.
    LOOKS.insert(net as u64, look, 0).is_ok()
}

/// Keeps what the next short look compares with. What was kept before goes into the table.
#[inline(always)]
fn note(mib: &Mib, net: *const Net, identity: u64, now: &Counted) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: as in `dropped`.
    let recent = unsafe { &mut (*scratch).recent };
    let before = *recent;
    *recent = Recent {
        net: net as u64,
        identity,
        drops_at: mib.place(&MIB_LISTEN_DROPS),
        drops: now.drops,
        overflows: now.overflows,
    };
    if let Some(look) = LOOKS.get_ptr_mut(before.net) {
        // SAFETY: this CPU's element; looks are taken with bottom halves off.
        unsafe {
            if (*look).identity == before.identity {
                (*look).counted.drops = before.drops;
                (*look).counted.overflows = before.overflows;
            }
        }
    }
}

/// The moves since the last look, which this one ends. None: they are not known.
#[inline(always)]
pub(crate) fn look(net: *const Net) -> Option<Counted> {
    let mib = counters::here(net)?;
    let now = Counted::now(&mib);
    let identity = identity(net);
    note(&mib, net, identity, &now);
    let look = Look::new(now, identity);
    let Some(kept) = LOOKS.get_ptr_mut(net as u64) else {
        // On other CPUs the kernel fills in zeros.
        LOOKS.insert(net as u64, look, 0).ok()?;
        return namespace::is_new(net).then_some(now);
    };
    // SAFETY: this CPU's element; packets are freed with bottom halves off, or are none of
    // a listener's.
    let before = unsafe { *kept };
    // SAFETY: as above.
    unsafe { *kept = look };
    if before.identity != identity {
        return namespace::is_new(net).then_some(now);
    }
    let moved = now.since(&before.counted);
    // Some hooks look at nothing before the run: all but the packet in hand was before it.
    Some(if before.running == 0 { moved.of_one() } else { moved })
}

/// Counts a packet that may have been refused: the first that this CPU has seen in a
/// namespace which is older than the run and could not be read before.
#[inline(always)]
pub(crate) fn hidden() {
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).hidden += 1 };
    }
}

/// How far `SyncookiesRecv` has moved: if at all, a connection was made of a cookie.
#[inline(always)]
pub(crate) fn by_cookie(net: *const Net) -> u64 {
    let Some(mib) = counters::here(net) else { return 0 };
    let now = mib.get(&MIB_SYNCOOKIES_RECV);
    let identity = identity(net);
    if let Some(look) = LOOKS.get_ptr_mut(net as u64) {
        // SAFETY: as in `look`.
        let look = unsafe { &mut *look };
        if look.identity == identity {
            let before = look.counted.cookie_valid;
            look.counted.cookie_valid = now;
            return now.wrapping_sub(before);
        }
    }
    if !namespace::is_new(net) {
        refresh(net as u64);
        return 0;
    }
    // What else has moved, the next look finds.
    let counted = Counted { cookie_valid: now, ..Counted::default() };
    keep(net, Look::new(counted, identity));
    now
}

/// The first look, before the programs begin.
#[inline(always)]
pub(crate) fn first_look(net: *const Net) {
    let _ = look(net);
}
