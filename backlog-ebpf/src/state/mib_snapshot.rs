//! The moves of this CPU's counters of a namespace since the last snapshot. A snapshot is taken
//! after each packet that may have moved them, in the same softirq, so the moves are those of that
//! packet.

use super::{
    counters::{self, Mib},
    maps::{LOOKS, SCRATCH, STRAY},
    namespace, shared,
    values::{LastSnapshot, MibCounts, MibSnapshot},
};
use crate::kernel::{
    globals::{
        Field as _, MIB_EMBRYONIC_RSTS, MIB_FASTOPEN_FAILED, MIB_FASTOPEN_FULL, MIB_LISTEN_DROPS,
        MIB_LISTEN_OVERFLOWS, MIB_PASSIVE_OPENS, MIB_REQQ_FULL_COOKIES, MIB_REQQ_FULL_DROP,
        MIB_SYNCOOKIES_FAILED, MIB_SYNCOOKIES_RECV, MIB_SYNCOOKIES_SENT,
    },
    pointers::KernelPtr,
    read,
    types::Net,
};

impl MibCounts {
    /// Limits the drops to what the listener itself may have dropped.
    #[inline(always)]
    pub(crate) fn at_most(&mut self, most: u32) {
        if self.drops > u64::from(most) {
            self.drops = u64::from(most);
        }
    }

    /// Reduces the moves to those of one packet.
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

impl MibSnapshot {
    #[inline(always)]
    fn new(counted: MibCounts, identity: u64) -> Self {
        Self { counted, identity, running: u64::from(shared::running()) }
    }
}

impl LastSnapshot {
    #[inline(always)]
    fn is_of(&self, net: u64, identity: u64) -> bool {
        self.net == net && self.identity == identity
    }
}

/// Whether `ListenDrops` may have moved since the last snapshot. If not, nothing was dropped.
#[inline(always)]
pub(crate) fn drops_moved(net: impl KernelPtr<Net>) -> bool {
    let Some(scratch) = SCRATCH.get_ptr(0) else { return true };
    // SAFETY: a per-CPU element; snapshots are taken with bottom halves off.
    let last = unsafe { &(*scratch).last };
    !last.is_of(net.address() as u64, namespace::identity(net))
        || read::at::<_, u64>(last.drops_at as *const u64, 0) != last.drops
}

/// Whether this CPU has counted exactly one overflow and one drop since the last snapshot, so that
/// a full accept queue has dropped a packet. If so, this also updates the snapshot.
#[inline(always)]
pub(crate) fn is_one_overflow(net: impl KernelPtr<Net>) -> bool {
    let (first, second) = (MIB_LISTEN_OVERFLOWS.offset(), MIB_LISTEN_DROPS.offset());
    if first + 1 != second {
        return false;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
    // SAFETY: as in `drops_moved`.
    let last = unsafe { &mut (*scratch).last };
    if !last.is_of(net.address() as u64, namespace::identity(net)) {
        return false;
    }
    let both = last.drops_at.wrapping_sub(size_of::<u64>() as u64) as *const u64;
    let [overflows, drops]: [u64; 2] = read::at(both, 0);
    if overflows != last.overflows.wrapping_add(1) || drops != last.drops.wrapping_add(1) {
        return false;
    }
    (last.overflows, last.drops) = (overflows, drops);
    true
}

/// Takes a snapshot after a packet that is filtered out: the next one must not include its moves.
#[inline(always)]
pub(crate) fn refresh_if_moved(net: *const Net) {
    if drops_moved(net) {
        refresh(net as u64);
    }
}

/// Takes a snapshot whose moves are known otherwise. Not inlined: together with its callers it
/// would need too much stack.
#[inline(never)]
pub(crate) fn refresh(net: u64) -> u32 {
    let net = net as *const Net;
    let Some(mib) = counters::of_namespace(net) else { return 0 };
    let now = MibCounts::now(&mib);
    let identity = namespace::identity(net);
    store_last(&mib, net, identity, &now);
    u32::from(store(net, MibSnapshot::new(now, identity)))
}

/// Stores a snapshot. Returns false if the table is full.
#[inline(always)]
fn store(net: *const Net, snapshot: MibSnapshot) -> bool {
    if let Some(kept) = LOOKS.get_ptr_mut(net as u64) {
        // SAFETY: this CPU's element; snapshots are taken with bottom halves off.
        unsafe { *kept = snapshot };
        return true;
    }
    // On other CPUs the kernel fills in zeros.
    LOOKS.insert(net as u64, snapshot, 0).is_ok()
}

/// Stores the snapshot that [`is_one_overflow`] compares with. The counts of the previous one go
/// into the table.
#[inline(always)]
fn store_last(mib: &Mib, net: *const Net, identity: u64, now: &MibCounts) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: as in `drops_moved`.
    let last = unsafe { &mut (*scratch).last };
    let before = *last;
    *last = LastSnapshot {
        net: net as u64,
        identity,
        drops_at: mib.address_of(&MIB_LISTEN_DROPS),
        drops: now.drops,
        overflows: now.overflows,
    };
    if let Some(snapshot) = LOOKS.get_ptr_mut(before.net) {
        // SAFETY: this CPU's element; snapshots are taken with bottom halves off.
        unsafe {
            if (*snapshot).identity == before.identity {
                (*snapshot).counted.drops = before.drops;
                (*snapshot).counted.overflows = before.overflows;
            }
        }
    }
}

/// Takes a snapshot, and returns the moves since the last one; none if they are unknown.
#[inline(always)]
pub(crate) fn snapshot_delta(net: *const Net) -> Option<MibCounts> {
    let mib = counters::of_namespace(net)?;
    let now = MibCounts::now(&mib);
    let identity = namespace::identity(net);
    store_last(&mib, net, identity, &now);
    let snapshot = MibSnapshot::new(now, identity);
    let Some(kept) = LOOKS.get_ptr_mut(net as u64) else {
        // On other CPUs the kernel fills in zeros.
        LOOKS.insert(net as u64, snapshot, 0).ok()?;
        return namespace::is_new(net).then_some(now);
    };
    // SAFETY: this CPU's element; packets are freed with bottom halves off, or do not belong to a
    // listener.
    let before = unsafe { *kept };
    // SAFETY: as above.
    unsafe { *kept = snapshot };
    if before.identity != identity {
        return namespace::is_new(net).then_some(now);
    }
    let moved = now.since(&before.counted);
    // Some hooks take no snapshot before the run: then all moves but those of one packet are older.
    Some(if before.running == 0 { moved.of_one() } else { moved })
}

/// Counts a packet that may have been refused: the first one on this CPU in a namespace that is
/// older than the run and whose counters could not be read before.
#[inline(always)]
pub(crate) fn count_hidden() {
    if let Some(stray) = STRAY.get_ptr_mut(0) {
        // SAFETY: a per-CPU element that only this CPU writes.
        unsafe { (*stray).hidden += 1 };
    }
}

/// How far `SyncookiesRecv` has moved. If it has, a connection was created from a cookie.
#[inline(always)]
pub(crate) fn valid_cookies_delta(net: *const Net) -> u64 {
    let Some(mib) = counters::of_namespace(net) else { return 0 };
    let now = mib.get(&MIB_SYNCOOKIES_RECV);
    let identity = namespace::identity(net);
    if let Some(snapshot) = LOOKS.get_ptr_mut(net as u64) {
        // SAFETY: as in `snapshot_delta`.
        let snapshot = unsafe { &mut *snapshot };
        if snapshot.identity == identity {
            let before = snapshot.counted.cookie_valid;
            snapshot.counted.cookie_valid = now;
            return now.wrapping_sub(before);
        }
    }
    if !namespace::is_new(net) {
        refresh(net as u64);
        return 0;
    }
    // The next snapshot finds the other moves.
    let counted = MibCounts { cookie_valid: now, ..MibCounts::default() };
    store(net, MibSnapshot::new(counted, identity));
    now
}

/// Takes the first snapshot, before the programs start.
#[inline(always)]
pub(crate) fn first_snapshot(net: *const Net) {
    let _ = snapshot_delta(net);
}
