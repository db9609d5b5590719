//! A SYN at a listener: `tcp_conn_request`, and what it calls only for some.

use backlog_ebpf::cause::{Beside, Cause};

use super::{
    filter,
    globals::{
        ICSK_FASTOPEN_LIMIT, MIB_FASTOPEN_FAILED, MIB_FASTOPEN_FULL, MIB_LISTEN_DROPS,
        MIB_LISTEN_OVERFLOWS, MIB_REQQ_FULL_COOKIES, MIB_REQQ_FULL_DROP, MIB_SYNCOOKIES_SENT,
    },
    listener, read,
    refuse::{Refusal, refused},
    site::{self, Counts, Hint, Left, Site},
    types::{SkBuff, Sock},
};

/// Body: `tcp_conn_request(rsk_ops, af_ops, sk, skb)` is entered.
#[inline(always)]
pub(crate) fn enter(sk: *const Sock) {
    if !filter::port(sk) {
        return;
    }
    let fastopen_limit: u32 = read::field(sk, &ICSK_FASTOPEN_LIMIT);
    site::enter(Site::Syn, sk, |mib| {
        let mut counts = Counts {
            drops: mib.get(&MIB_LISTEN_DROPS),
            overflows: mib.get(&MIB_LISTEN_OVERFLOWS),
            queue_drop: mib.get(&MIB_REQQ_FULL_DROP),
            queue_cookie: mib.get(&MIB_REQQ_FULL_COOKIES),
            cookie_sent: mib.get(&MIB_SYNCOOKIES_SENT),
            fastopen_limit: u64::from(fastopen_limit),
            ..Counts::default()
        };
        if fastopen_limit != 0 {
            counts.fastopen_full = mib.get(&MIB_FASTOPEN_FULL);
            counts.fastopen_failed = mib.get(&MIB_FASTOPEN_FAILED);
        }
        counts
    });
}

/// Body: it returns.
#[inline(always)]
pub(crate) fn exit(sk: *const Sock, skb: *const SkBuff) {
    let Some(left) = site::leave(Site::Syn, sk) else {
        return;
    };
    if !filter::packet(skb) {
        return;
    }
    let dropped = left.mib.get(&MIB_LISTEN_DROPS) != left.before.drops;
    // A SYN at a listener that has just closed is worth no slot, a drop is.
    let Some(seen) = (if dropped { listener::of(sk) } else { listener::find(sk) }) else {
        return;
    };
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    // Here the newcomer is in it, unless it was refused.
    listener::syn_peak(totals, sk);
    let mut count = |beside: Beside| totals.beside[beside as usize] += 1;
    if left.mib.get(&MIB_REQQ_FULL_COOKIES) != left.before.queue_cookie {
        count(Beside::SynQueueFullCookie);
    }
    if left.mib.get(&MIB_SYNCOOKIES_SENT) != left.before.cookie_sent {
        count(Beside::SynCookieSent);
    }
    if left.before.fastopen_limit != 0
        && left.mib.get(&MIB_FASTOPEN_FULL) != left.before.fastopen_full
    {
        count(Beside::FastopenQueueFull);
    }
    if !dropped || left.hinted(Hint::NotQueued) {
        return;
    }
    let beside = match verdict(&left) {
        Ok(cause) => {
            let (client, isn) = read::sender(skb);
            let refusal = Refusal { cause, client, isn, sk_drops: 1, counted: true };
            return refused(sk, seen, refusal);
        }
        Err(beside) => beside,
    };
    count(beside);
    totals.sk_drops += 1;
}

/// Why `ListenDrops` moved. The kernel tests the SYN queue before the accept queue and
/// both before everything else, and stops at the first.
#[inline(always)]
fn verdict(left: &Left) -> Result<Cause, Beside> {
    let Left { before, mib, .. } = left;
    if mib.get(&MIB_REQQ_FULL_DROP) != before.queue_drop {
        return Ok(Cause::SynQueueFull);
    }
    // A Fast Open child that cannot be made counts like a lost SYN, and is none: the
    // handshake goes on without data.
    if before.fastopen_limit != 0 && mib.get(&MIB_FASTOPEN_FAILED) != before.fastopen_failed {
        return Err(Beside::FastopenFailed);
    }
    if mib.get(&MIB_LISTEN_OVERFLOWS) != before.overflows {
        return Ok(Cause::AcceptQueueFullSyn);
    }
    if left.hinted(Hint::LastQuarter) {
        return Ok(Cause::LastQuarter);
    }
    if left.hinted(Hint::Join) {
        return Err(Beside::JoinRefused);
    }
    Ok(Cause::Other)
}

/// Body: `tcp_peer_is_proven(req, dst)` returned `proven`. It is asked for nothing
/// but the last-quarter rule, and only when that holds (5.10 to 7.3).
#[inline(always)]
pub(crate) fn peer_asked(proven: u64) {
    if proven & 0xff == 0 {
        site::hint(Hint::LastQuarter);
    }
}

/// Body: `mptcp_token_get_sock` is entered: within a SYN it looks for the MPTCP
/// connection that the SYN asks to join (6.1 to 7.3).
#[inline(always)]
pub(crate) fn join_asked() {
    site::hint(Hint::Join);
}
