//! A queued connection migrates to another listener of its `SO_REUSEPORT` group, because its own
//! closes (`net.ipv4.tcp_migrate_req`, 5.14 and later).

use backlog_ebpf::cause::Beside;

use super::{listener, tally};
use crate::kernel::{
    globals::SKC_STATE,
    read, sock, time,
    types::{Sock, TCP_NEW_SYN_RECV},
};
use crate::state::{filter, histograms, pending, slots};

/// Hook: `reuseport_migrate_sock(sk, migrating, skb)` returned `to`, or null if no listener is
/// left. A request needs no action: it is counted when it is queued at its new listener.
///
/// The kernel queues the connection right afterwards. If that fails, the new listener forgets it.
#[inline(always)]
pub(crate) fn on_migrate(sk: *const Sock, child: *const Sock, to: *const Sock) {
    if to.is_null()
        || read::field::<_, u8>(child, &SKC_STATE) == TCP_NEW_SYN_RECV
        || !filter::listener(sk)
        || !filter::connection(child)
    {
        return;
    }
    if let Some(from) = slots::known(sk) {
        // SAFETY: this CPU's element of the per-CPU array.
        unsafe { (*from.totals).beside[Beside::Migrated as usize] += 1 };
    }
    let Some(tracked) = listener::of(to) else { return };
    let now = time::now();
    // SAFETY: this CPU's element of the per-CPU array.
    let totals = unsafe { &mut *tracked.totals };
    totals.beside[Beside::MigratedIn as usize] += 1;
    if let Some(distributions) = histograms::at(tracked.slot) {
        tally::peak(tracked.slot, distributions, sock::depth(to) + 1);
    }
    let _ = pending::move_to(child, to, tracked.slot, now);
}
