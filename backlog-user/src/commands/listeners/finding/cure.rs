//! The remedy for a finding, in a sentence. It names no listener, so that findings with the same
//! remedy can share it.

use backlog_core::counter::Counter;

use super::super::host::{Audited, Space};

/// How to raise the limit of this listener.
pub(super) fn larger(space: &Space, audited: &Audited) -> String {
    let limit = audited.listener.limit;
    match space.settings.somaxconn {
        Some(somaxconn) if limit == somaxconn => format!(
            "raise net.core.somaxconn in its namespace (sysctl -w), then the backlog that the \
             application passes to listen(), unless it is already larger than {somaxconn}, and \
             restart it: a limit takes effect only at listen()"
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

/// For a queue that fills up faster than it is emptied.
pub(super) fn full(space: &Space, audited: &Audited) -> String {
    format!(
        "find out whether anybody accepts, and how fast (backlog-trace -P PORT shows accepts and \
         waits); if somebody does and connections arrive in bursts, {}",
        larger(space, audited)
    )
}

/// For past drops: the namespace's counters show which kinds occurred.
pub(super) fn dropped(space: &Space, audited: &Audited) -> String {
    let count = |counter| space.counter(counter).unwrap_or(0);
    let overflows = space.counter(Counter::ListenOverflows);
    let full = count(Counter::ReqQFullDrop);
    let others = count(Counter::ListenDrops).saturating_sub(overflows.unwrap_or(0) + full);
    let mut cures = Vec::new();
    if overflows.is_none_or(|count| count > 0) {
        cures.push(format!(
            "check whether it continues, which clients it affects and why (backlog-trace -P \
             PORT); make it accept faster or {}",
            larger(space, audited)
        ));
    }
    if full > 0 {
        cures.push(syn_queue_full(space).to_owned());
    }
    match last_quarter(space, audited) {
        Some(rule) if others > 0 => cures.push(rule),
        _ if cures.is_empty() => cures.push(
            "no queue was full in this namespace, so look for another cause (memory, route, \
             security module): backlog-trace -P PORT names it if it happens again"
                .into(),
        ),
        _ => {}
    }
    cures.join("; and ")
}

/// Cookies were off when the drops occurred, whatever the setting is now.
fn syn_queue_full(space: &Space) -> &'static str {
    if space.settings.syncookies.is_some_and(|value| value != 0) {
        "nothing to do for the SYNs that a full SYN queue refused while cookies were off: they \
         are on now"
    } else {
        "turn on cookies (sysctl -w net.ipv4.tcp_syncookies=1): a SYN queue was full"
    }
}

/// The last-quarter rule, which refuses unknown clients before a queue is full, if it can apply
/// here. The SYN queue itself holds at most one more than the limit.
fn last_quarter(space: &Space, audited: &Audited) -> Option<String> {
    let bound = space.settings.tcp_max_syn_backlog?;
    let places = space.unknown_clients()?;
    (places <= audited.listener.limit).then(|| {
        format!(
            "turn on cookies (sysctl -w net.ipv4.tcp_syncookies=1) or raise \
             net.ipv4.tcp_max_syn_backlog (now {bound}): without cookies its last quarter is kept \
             for known clients, and a SYN of any other is refused while {places} handshakes are \
             pending"
        )
    })
}
