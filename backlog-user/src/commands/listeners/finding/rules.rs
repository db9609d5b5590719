//! The rules that produce findings.

use backlog_core::counter::Counter;
use backlog_core::event::Listener;
use backlog_core::text::format::{bytes, percent};

use super::super::host::{Audited, Host, Space};
use super::{Finding, Kind, Level, cure, drops};
use crate::host::kernel::slab::Entry;

/// A queue use from this percentage of the limit is high.
const HIGH: u64 = 80;
/// A limit below this is small for the SYN queue of a listener that others can reach: half of the
/// value that `SOMAXCONN` had for decades. (Common services request 100 and more.)
const SMALL: u32 = 64;

/// Findings on a namespace as a whole.
pub(super) fn of_space<'a>(space: &'a Space, found: &mut Vec<Finding<'a>>) {
    if space.listeners.is_empty() {
        return;
    }
    let mut push = |level, kind, fact, cure: String| {
        let cure = Some(cure);
        found.push(Finding { level, kind, space: Some(space), listener: None, fact, cure });
    };
    if space.settings.abort_on_overflow.is_some_and(|value| value != 0) {
        let fact = "tcp_abort_on_overflow is on: a client whose last ACK meets a full accept \
            queue is reset, although it could be accepted a moment later";
        let cure = "sysctl -w net.ipv4.tcp_abort_on_overflow=0 in the namespace";
        push(Level::Problem, Kind::AbortOnOverflow, fact.into(), cure.into());
    }
    if space.settings.syncookies == Some(0) {
        let (level, fact) = cookies_off(space);
        let cure = "sysctl -w net.ipv4.tcp_syncookies=1 in the namespace";
        push(level, Kind::SyncookiesOff, fact, cure.into());
    }
    let drops = space.counter(Counter::ListenDrops).unwrap_or(0);
    let dropping = |audited: &Audited| audited.listener.sk_drops != Some(0);
    if drops > 0 && space.is_whole() && !space.listeners.iter().any(dropping) {
        let fact = format!(
            "ListenDrops is {drops}{}, but no current listener has drops: they occurred at \
             listeners that have since closed",
            overflows(space)
        );
        let cure = "check whether it recurs: backlog-trace --until-drop waits for the next drop";
        // Only a reboot resets the counters: with a higher level, a check would fail until then.
        push(Level::Info, Kind::DropsOfClosed, fact, cure.into());
    }
}

/// With cookies off, a full SYN queue refuses clients. `tcp_max_syn_backlog` bounds it as well, and
/// its last quarter is reserved for known peers.
fn cookies_off(space: &Space) -> (Level, String) {
    let fact = "tcp_syncookies is off: a SYN that finds the SYN queue full is dropped".to_owned();
    let largest = space.listeners.iter().map(|audited| audited.listener.limit).max();
    let bound = space.settings.tcp_max_syn_backlog;
    let (Some(bound), Some(places), Some(largest)) = (bound, space.unknown_clients(), largest)
    else {
        return (Level::Notice, fact);
    };
    if places >= largest {
        return (Level::Notice, fact);
    }
    let fact = format!(
        "{fact}, and tcp_max_syn_backlog ({bound}) leaves {places} places to unknown clients where \
         the limit is up to {largest}: its last quarter is kept for known ones"
    );
    (Level::Problem, fact)
}

/// Findings on a listener.
pub(super) fn of_listener<'a>(
    space: &'a Space,
    audited: &'a Audited,
    found: &mut Vec<Finding<'a>>,
) {
    let Listener { local, depth, limit, .. } = audited.listener;
    let mut push = |level, kind, fact, cure: String| {
        let (space, listener, cure) = (Some(space), Some(audited), Some(cure));
        found.push(Finding { level, kind, space, listener, fact, cure });
    };
    if depth > limit {
        let fact = format!("depth {depth}, limit {limit}: every new client is refused");
        push(Level::Problem, Kind::QueueFull, fact, cure::full(space, audited));
    } else if is_high(depth, limit) {
        let fact = format!("depth {depth} is {} % of limit {limit}", percent(depth, limit));
        push(Level::Problem, Kind::QueueHigh, fact, cure::full(space, audited));
    }
    if let Some(length) = audited.syn_queue.filter(|length| is_high(*length, limit)) {
        let fact = format!("SYN queue {length} is {} % of limit {limit}", percent(length, limit));
        let (level, cure) = if space.settings.syncookies == Some(0) {
            (Level::Problem, "turn on cookies (net.ipv4.tcp_syncookies=1), and ")
        } else {
            (Level::Notice, "when it is full cookies take over; if this is not a SYN flood, ")
        };
        let cure = format!("{cure}{}", cure::larger(space, audited));
        push(level, Kind::SynQueueHigh, fact, cure);
    }
    if let Some((level, kind, fact)) = drops::of(space, audited) {
        let cure = match kind {
            Kind::DeferAccept => "backlog-trace -P PORT shows whether any client is refused".into(),
            _ => cure::dropped(space, audited),
        };
        push(level, kind, fact, cure);
    }
    match space.settings.somaxconn {
        Some(somaxconn) if limit == somaxconn => {
            let fact = format!(
                "limit {limit} is somaxconn: the requested backlog was equal to it, or clamped to it"
            );
            push(Level::Notice, Kind::AtSomaxconn, fact, cure::larger(space, audited));
        }
        Some(somaxconn) if limit > somaxconn => {
            let fact = format!("limit {limit} is above somaxconn {somaxconn}");
            let cure = "somaxconn was lowered after listen(), and a restart would grant only its \
                present value; or the kernel itself listens, which somaxconn does not bound";
            push(Level::Info, Kind::AboveSomaxconn, fact, cure.into());
        }
        _ => {}
    }
    if limit < SMALL && !local.ip().is_loopback() {
        let fact = format!("limit {limit} bounds the SYN queue as well");
        let full = if space.settings.syncookies == Some(0) {
            "a burst of that many handshakes fills it, and further SYNs are dropped"
        } else {
            "a burst of that many handshakes fills it, and further ones need cookies"
        };
        let cure = format!("{full}: {}", cure::larger(space, audited));
        push(Level::Notice, Kind::SynQueueBound, fact, cure);
    }
}

fn is_high(length: u32, limit: u32) -> bool {
    length > 0 && u64::from(length) * 100 >= u64::from(limit) * HIGH
}

fn overflows(space: &Space) -> String {
    let overflows = space.counter(Counter::ListenOverflows);
    overflows.map_or(String::new(), |count| format!(" (ListenOverflows {count})"))
}

/// Findings on the whole host.
pub(super) fn of_host<'a>(host: &'a Host, found: &mut Vec<Finding<'a>>) {
    let listeners = || host.spaces.iter().flat_map(|space| &space.listeners);
    let mut push = |level, kind, fact, cure: Option<String>| {
        found.push(Finding { level, kind, space: None, listener: None, fact, cure });
    };
    if host.filtered && listeners().next().is_none() {
        let cure =
            "start the server, or relax the filter (-P, -p, -4, -6, --netns, --cgroup)".to_owned();
        let fact = "no listener matches the filter".to_owned();
        push(Level::Problem, Kind::NothingListens, fact, Some(cure));
    }
    // The listener with the most expensive entry, whose queues may take the most memory.
    let dearest = listeners()
        .filter_map(|audited| Some((audited.entry(&host.memory)?, audited.listener.limit)))
        .max_by_key(|(entry, limit)| entry.at_most(*limit));
    if let Some((entry, limit)) = dearest {
        push(Level::Info, Kind::Memory, memory(entry, limit), None);
    } else if let Some(audited) = listeners().max_by_key(|audited| audited.listener.limit) {
        let fact = format!(
            "the memory that the queues could take at a limit of {} is unknown: the kernel's \
             slab sizes are not readable (root can read them)",
            audited.listener.limit
        );
        push(Level::Info, Kind::Memory, fact, None);
    }
}

/// What a larger limit costs at most.
fn memory(entry: Entry, limit: u32) -> String {
    let double = limit.saturating_mul(2);
    format!(
        "a queued connection takes {} of kernel memory, an entry of the SYN queue {}, in \
         addition to data that clients have sent: both queues of a listener take at most {} at \
         the limit {limit} (the most expensive listener), {} at {double}",
        bytes(entry.queued()),
        bytes(entry.request),
        bytes(entry.at_most(limit)),
        bytes(entry.at_most(double)),
    )
}
