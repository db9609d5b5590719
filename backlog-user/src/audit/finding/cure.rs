//! What to do about a finding, in a sentence. It names no listener, so that many that need
//! the same share one.

use super::super::host::{Audited, Space};
use crate::counter::Counter;

/// How this listener comes to a larger limit.
pub(super) fn larger(space: &Space, listener: &Audited) -> String {
    let limit = listener.listed.limit;
    match space.settings.somaxconn {
        Some(somaxconn) if limit == somaxconn => format!(
            "raise net.core.somaxconn in its namespace (sysctl -w), then the backlog that the \
             application passes to listen(), unless that is larger than {somaxconn} already, and \
             restart it: a limit is taken over at listen() only"
        ),
        Some(somaxconn) if limit < somaxconn => format!(
            "raise the backlog that the application passes to listen() (somaxconn permits \
             {somaxconn}) and restart it"
        ),
        Some(somaxconn) => format!(
            "raise net.core.somaxconn first (at {somaxconn} a restart would give less than now), \
             then the backlog that the application passes to listen(), and restart it"
        ),
        None => "raise the backlog that the application passes to listen(), and \
                 net.core.somaxconn if that is smaller, and restart it"
            .into(),
    }
}

/// A queue that is not emptied in time.
pub(super) fn full(space: &Space, listener: &Audited) -> String {
    format!(
        "let it accept faster (backlog-trace -P PORT shows how long connections wait); or, if they \
         come in bursts, {}",
        larger(space, listener)
    )
}

/// Drops in the past: the namespace's counters tell of which sort there were any.
pub(super) fn dropped(space: &Space, listener: &Audited) -> String {
    let by_accept_queue = space.counter(Counter::ListenOverflows).is_none_or(|count| count > 0);
    let by_syn_queue = space.counter(Counter::ReqQFullDrop).is_some_and(|count| count > 0);
    if by_accept_queue {
        format!(
            "see whether it goes on, whom it hits and why (backlog-trace -P PORT); let it accept \
             faster or {}",
            larger(space, listener)
        )
    } else if by_syn_queue {
        "turn on cookies (sysctl -w net.ipv4.tcp_syncookies=1): a SYN queue was full, and no \
         accept queue"
            .into()
    } else {
        "no queue was full in this namespace, so look for another cause (memory, route, security \
         module): backlog-trace -P PORT names it if it happens again"
            .into()
    }
}
