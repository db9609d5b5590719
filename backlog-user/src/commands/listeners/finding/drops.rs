//! What a listener's `sk_drops` means. The kernel increments it for refusals, but also for packets
//! that lost nothing. The counters of the namespace count only one kind each, so they decide.

use std::fmt::Write as _;

use backlog_core::counter::Counter;

use super::super::host::{Audited, Space};
use super::{Kind, Level};

/// The level and kind of the finding, and its numbers; None if nothing was refused.
pub(super) fn of(space: &Space, audited: &Audited) -> Option<(Level, Kind, String)> {
    let drops = audited.listener.sk_drops.filter(|drops| *drops > 0)?;
    // If ListenDrops is 0, no packet was a loss: they were repeated SYNs, resets by clients or
    // deferred ACKs.
    if space.counter(Counter::ListenDrops) == Some(0) {
        return None;
    }
    let fact = format!("sk_drops {drops} since it was opened{}", counters(space));
    let deferred = space.counter(Counter::DeferAcceptDrop).unwrap_or(0);
    Some(match (audited.defer_accept, space.may_be_deferred(drops)) {
        (Some(true), true) => {
            let why = "TCP_DEFER_ACCEPT is set, and each bare ACK that it defers counts there: \
                all of them may be such ACKs";
            (Level::Info, Kind::DeferAccept, format!("{fact}: {why}"))
        }
        (None, true) => {
            let why = "all of them may be bare ACKs that TCP_DEFER_ACCEPT defers, if it is set, \
                which could not be checked (that needs CAP_SYS_PTRACE)";
            (Level::Notice, Kind::Drops, format!("{fact}: {why}"))
        }
        (None | Some(true), false) if deferred > 0 => {
            let others = u64::from(drops).saturating_sub(deferred);
            let why = format!("at least {others} of them were not deferred by TCP_DEFER_ACCEPT");
            (Level::Problem, Kind::Drops, format!("{fact}: {why}"))
        }
        _ => (Level::Problem, Kind::Drops, fact),
    })
}

/// ` (its namespace: ListenOverflows 3, ListenDrops 4)`, as far as known. Counters that only some
/// listeners use are left out while they are 0.
fn counters(space: &Space) -> String {
    let Some(drops) = space.counter(Counter::ListenDrops) else { return String::new() };
    let overflows = space.counter(Counter::ListenOverflows);
    let overflows = overflows.map_or("?".to_owned(), |count| count.to_string());
    let mut text = format!(" (its namespace: ListenOverflows {overflows}, ListenDrops {drops}");
    for counter in [Counter::ReqQFullDrop, Counter::DeferAcceptDrop] {
        if let Some(count @ 1..) = space.counter(counter) {
            let _ = write!(text, ", {} {count}", counter.name());
        }
    }
    text + ")"
}

#[cfg(test)]
mod tests {
    use super::{Kind, Level, of};
    use crate::commands::listeners::host::Space;
    use crate::commands::listeners::tests::{audited, set, space};
    use backlog_core::counter::Counter;

    /// A listener with `sk_drops` of 5, in a namespace that has refused 49.
    fn with(defer_accept: Option<bool>, deferred: u64) -> Space {
        let mut listener = audited("0.0.0.0:80", 128, 0);
        listener.listener.sk_drops = Some(5);
        listener.defer_accept = defer_accept;
        let mut space = space(vec![listener]);
        set(&mut space, Counter::ListenDrops, 49);
        set(&mut space, Counter::DeferAcceptDrop, deferred);
        space
    }

    #[test]
    fn acks_that_are_put_off_are_no_refusals() {
        let of = |defer_accept, deferred| {
            let space = with(defer_accept, deferred);
            of(&space, &space.listeners[0]).unwrap()
        };
        for deferred in [5, 6, 1000] {
            let (level, kind, fact) = of(Some(true), deferred);
            assert_eq!((level, kind), (Level::Info, Kind::DeferAccept));
            assert!(fact.contains("TCP_DEFER_ACCEPT is set"), "{fact}");
            assert_eq!(of(Some(false), deferred).0, Level::Problem);
            let (level, kind, fact) = of(None, deferred);
            assert_eq!((level, kind), (Level::Notice, Kind::Drops));
            assert!(fact.contains("could not be checked"), "{fact}");
        }
        // The kernel has deferred fewer ACKs than this listener has dropped packets.
        for known in [None, Some(true)] {
            assert_eq!(of(known, 4).0, Level::Problem);
            assert_eq!(of(known, 0).0, Level::Problem);
        }
        assert!(of(None, 4).2.contains("at least 1 of them"));
        assert!(!of(None, 0).2.contains("DEFER"));
    }

    #[test]
    fn a_namespace_that_refused_nothing_has_no_drops() {
        let mut space = with(None, 0);
        set(&mut space, Counter::ListenDrops, 0);
        assert_eq!(of(&space, &space.listeners[0]), None);
    }
}
