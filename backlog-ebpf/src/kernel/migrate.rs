//! A queued connection goes to another listener of its `SO_REUSEPORT` group, because
//! its own closes (`net.ipv4.tcp_migrate_req`, 5.14 and later).

use backlog_ebpf::cause::Beside;

use super::{
    enqueue, filter,
    globals::SKC_STATE,
    listener, pending, read,
    types::{Sock, TCP_NEW_SYN_RECV},
};

/// Body: `reuseport_migrate_sock(sk, migrating, skb)` returned `to`, or null when there
/// is none. For a request nothing is to be done: it is queued where it goes.
///
/// The connection is added right afterwards. If that fails, it is forgotten as one of
/// its new listener.
#[inline(always)]
pub(crate) fn migrates(sk: *const Sock, child: *const Sock, to: *const Sock) {
    if to.is_null()
        || read::field::<_, u8>(child, &SKC_STATE) == TCP_NEW_SYN_RECV
        || !filter::listener(sk)
        || !filter::connection(child)
    {
        return;
    }
    if let Some(from) = listener::closing(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*from.totals).beside[Beside::Migrated as usize] += 1 };
    }
    let Some(seen) = listener::of(to) else { return };
    let now = listener::now();
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *seen.totals };
    totals.beside[Beside::MigratedIn as usize] += 1;
    enqueue::peak(totals, seen.slot, listener::depth(to) + 1);
    let _ = pending::moved(child, to, seen.slot, now);
}
