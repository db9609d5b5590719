//! How far this CPU's counters of a namespace have moved since they were last looked at.
//! They are looked at whenever a packet that may have moved them is freed, in the same
//! softirq, so the move is that packet's.

use crate::kernel::counters::Mib;
use crate::kernel::{
    counters,
    globals::{
        MIB_EMBRYONIC_RSTS, MIB_FASTOPEN_FAILED, MIB_FASTOPEN_FULL, MIB_LISTEN_DROPS,
        MIB_LISTEN_OVERFLOWS, MIB_PASSIVE_OPENS, MIB_REQQ_FULL_COOKIES, MIB_REQQ_FULL_DROP,
        MIB_SYNCOOKIES_FAILED, MIB_SYNCOOKIES_RECV, MIB_SYNCOOKIES_SENT, NET_HASH_MIX,
    },
    maps::LOOKS,
    read,
    types::Net,
};

/// Values of the counters, or their moves.
#[derive(Clone, Copy)]
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

/// What was found at the last look. A namespace that is not in the table is younger than
/// the start, and its counters began with zero: those of older ones were looked at then.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Look {
    counted: Counted,
    /// A number by chance that the kernel gives each namespace: another one may have the
    /// address of one that is gone.
    mix: u64,
}

/// The number of a namespace.
#[inline(always)]
fn mix_of(net: *const Net) -> u64 {
    u64::from(read::field::<_, u32>(net, &NET_HASH_MIX))
}

/// The moves since the last look, which this one ends.
#[inline(always)]
pub(crate) fn look(net: *const Net) -> Option<Counted> {
    let mib = counters::here(net)?;
    let now = Counted::now(&mib);
    let mix = mix_of(net);
    let Some(look) = LOOKS.get_ptr_mut(net as u64) else {
        // On other CPUs the kernel fills in zeros.
        LOOKS.insert(net as u64, Look { counted: now, mix }, 0).ok()?;
        return Some(now);
    };
    // SAFETY: this CPU's element; packets are freed with bottom halves off, or are none of
    // a listener's.
    let before = unsafe { *look };
    // SAFETY: as above.
    unsafe { *look = Look { counted: now, mix } };
    if before.mix != mix {
        return Some(now);
    }
    Some(now.since(&before.counted))
}

/// How far `SyncookiesRecv` has moved: if at all, a connection was made of a cookie.
#[inline(always)]
pub(crate) fn by_cookie(net: *const Net) -> u64 {
    let (Some(mib), Some(look)) = (counters::here(net), LOOKS.get_ptr_mut(net as u64)) else {
        return 0;
    };
    let now = mib.get(&MIB_SYNCOOKIES_RECV);
    // SAFETY: as in `look`.
    let before = unsafe { (*look).counted.cookie_valid };
    // SAFETY: as above.
    let same = unsafe { (*look).mix } == mix_of(net);
    if !same {
        // What else has moved, the next look finds.
        return now;
    }
    // SAFETY: as in `look`.
    unsafe { (*look).counted.cookie_valid = now };
    now.wrapping_sub(before)
}

/// The first look, before the programs begin.
#[inline(always)]
pub(crate) fn first_look(net: *const Net) {
    let _ = look(net);
}
