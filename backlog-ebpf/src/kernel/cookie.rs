//! An ACK that belongs to no request and may carry a SYN cookie: `cookie_v4_check`,
//! `cookie_v6_check`.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    filter,
    globals::{
        MIB_LISTEN_DROPS, MIB_LISTEN_OVERFLOWS, MIB_PASSIVE_OPENS, MIB_SYNCOOKIES_FAILED,
        MIB_SYNCOOKIES_RECV,
    },
    listener, read,
    refuse::{Refusal, refused},
    site::{self, Counts, Hint, Site},
    types::{SkBuff, Sock},
};

/// Body: `cookie_v4_check(sk, skb)` is entered.
#[inline(always)]
pub(crate) fn enter(sk: *const Sock) {
    if !filter::port(sk) {
        return;
    }
    site::enter(Site::Cookie, sk, |mib| Counts {
        drops: mib.get(&MIB_LISTEN_DROPS),
        overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
        cookie_valid: mib.get(&MIB_SYNCOOKIES_RECV),
        cookie_failed: mib.get(&MIB_SYNCOOKIES_FAILED),
        children: mib.tcp(&MIB_PASSIVE_OPENS),
        ..Counts::default()
    });
}

/// Body: it returned the child, `sk` itself when there was no cookie, or null when
/// there was one and nothing came of it.
///
/// The request is freed by then, so the client is read from the packet; its initial
/// sequence number is one behind the ACK's.
#[inline(always)]
pub(crate) fn exit(sk: *const Sock, skb: *const SkBuff, child: u64) {
    let Some(left) = site::leave(Site::Cookie, sk) else {
        return;
    };
    let failed = left.mib.get(&MIB_SYNCOOKIES_FAILED) != left.before.cookie_failed;
    let valid = left.mib.get(&MIB_SYNCOOKIES_RECV) != left.before.cookie_valid;
    if !(failed || valid || child == 0) || !filter::packet(skb) {
        return;
    }
    let Some(seen) = listener::of(sk) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    if failed {
        totals.beside[Beside::SynCookieFailed as usize] += 1;
    }
    if valid {
        totals.beside[Beside::SynCookieValid as usize] += 1;
    }
    let counted = left.mib.get(&MIB_LISTEN_DROPS) != left.before.drops;
    // Without a route the kernel gives up before it makes a child, and counts nothing. If
    // it has made one and thrown it away, another packet of the client's was faster on
    // another CPU, and nothing is lost.
    let childless = left.mib.tcp(&MIB_PASSIVE_OPENS) == left.before.children;
    if child != 0 || left.hinted(Hint::NotQueued) || !(counted || (valid && childless)) {
        return;
    }
    let full = left.mib.get(&MIB_LISTEN_OVERFLOWS) != left.before.overflows;
    let (client, sequence) = read::sender(skb);
    let refusal = Refusal {
        cause: if full { Cause::AcceptQueueFullCookie } else { Cause::NoChild },
        client,
        isn: sequence.wrapping_sub(1),
        sk_drops: u64::from(counted),
        counted,
    };
    refused(sk, seen, refusal);
}
