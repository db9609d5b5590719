//! Reconciliation of the tool's counts with the kernel's. Pure: both are in the model.
//!
//! A difference is not necessarily a loss: the kernel's counters ignore the tool's filter and its
//! start.

use serde::{Deserialize, Serialize};

use super::page::Page;
use super::sums::Sums;
use super::{Model, Namespace};
use crate::counter::Counter;
use crate::counter::Range;
use crate::event::Netns;

/// One kernel counter since the start, and the tool's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterCheck {
    /// The kernel's name for the counter.
    pub counter: &'static str,
    /// The change of the kernel's counter. It was read before and after the tool's own counts; if
    /// it moved in between, this is the value nearest to `seen`.
    pub kernel: u64,
    /// The tool's count.
    pub seen: u64,
}

impl CounterCheck {
    fn new(counter: &'static str, kernel: Range, seen: u64) -> Self {
        Self { counter, kernel: kernel.nearest(seen), seen }
    }

    /// Whether both counts are equal.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.kernel == self.seen
    }

    /// Whether either count moved.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.kernel > 0 || self.seen > 0
    }
}

/// Events that the tool cannot see, which may explain a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blind {
    /// A filter excludes listeners or clients.
    pub filtered: bool,
    /// Events that found no slot.
    pub no_slot: u64,
    /// Events at listeners that had just closed.
    pub at_closed: u64,
    /// Packets that an unknown listener refused.
    pub unattributed: u64,
    /// Events that programs missed.
    pub missed: u64,
    /// Ignored packets are not seen.
    pub ignores: bool,
}

/// The reconciliation of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The namespace.
    pub netns: Netns,
    /// A check for each counter that the kernel shows; empty if the counters could not be read.
    pub verdicts: Vec<CounterCheck>,
    /// It has ended, and this many packets were refused there after the last reading.
    pub unread_drops: u64,
}

/// Compares for every namespace that has traced listeners.
#[must_use]
pub fn accounts(model: &Model) -> Vec<Account> {
    let namespaces = model.namespaces().into_iter().filter(|netns| !model.is_uncompared(*netns));
    let account = |netns| Account {
        netns,
        verdicts: of_namespace(model, netns),
        unread_drops: model.unread_drops(netns),
    };
    namespaces.map(account).collect()
}

/// Compares for one network namespace, without the counters that the kernel does not show.
fn of_namespace(model: &Model, netns: Netns) -> Vec<CounterCheck> {
    model.namespaces.get(netns).map(Namespace::verdicts).unwrap_or_default()
}

impl Namespace {
    fn verdicts(&self) -> Vec<CounterCheck> {
        let Self { moved, seen, before, .. } = self;
        Counter::ALL
            .into_iter()
            .zip(moved)
            .filter_map(|(counter, moved)| {
                let seen = seen.moved(counter)?.saturating_sub(before.moved(counter)?);
                Some(CounterCheck::new(counter.name(), (*moved)?, seen))
            })
            .collect()
    }

    /// Whether nothing that moves a kernel counter was seen since the last reading.
    pub(super) fn is_read_to(&self, sums: &Sums) -> bool {
        Counter::ALL.into_iter().all(|counter| self.seen.moved(counter) == sums.moved(counter))
    }

    /// Refused packets that were seen since the last reading.
    pub(super) fn unread_drops(&self, sums: &Sums) -> u64 {
        sums.dropped().saturating_sub(self.seen.dropped())
    }

    /// Whether the tool's counts equal the kernel's, for all compared counters.
    pub(super) fn agrees(&self) -> bool {
        self.verdicts().iter().all(CounterCheck::agrees)
    }
}

/// Compares a listener's `sk_drops`. None for a closed listener, whose counter is gone.
#[must_use]
pub fn of_listener(page: &Page) -> Option<CounterCheck> {
    let (moved, seen) = page.sk_drops?;
    page.closed.is_none().then(|| CounterCheck::new("sk_drops", moved, seen))
}

/// The reasons why the two may differ, likely ones first.
#[must_use]
pub fn reasons(verdict: &CounterCheck, blind: &Blind) -> Vec<String> {
    let mut reasons = Vec::new();
    let CounterCheck { counter, kernel, seen } = *verdict;
    // With tracepoints it is also unknown which packets lose nothing.
    let infers_members = counter == "sk_drops" && blind.ignores;
    if kernel < seen {
        if infers_members {
            reasons.push(
                "another member of its SO_REUSEPORT group refused them: tracepoints do not show \
                 which one does"
                    .to_owned(),
            );
        }
        reasons.push("a packet was in the middle of it when this was read".to_owned());
        return reasons;
    }
    for (count, what) in [
        (blind.no_slot, "found no slot"),
        (blind.at_closed, "came to a listener that had just closed"),
        (blind.unattributed, "are of a listener that is unknown"),
        (blind.missed, "were missed by programs"),
    ] {
        if count > 0 {
            reasons.push(format!("events that {what}: {count}"));
        }
    }
    if blind.filtered {
        reasons.push("of listeners or clients outside the filter".to_owned());
    }
    match counter {
        "sk_drops" => {
            if blind.ignores {
                reasons.push(
                    "packets that lost nothing, which no tracepoint shows: bare ACKs that \
                     TCP_DEFER_ACCEPT puts off, repeated SYNs, resets by clients"
                        .to_owned(),
                );
            }
            reasons.push(
                "packets refused before the handshake (filters, policies, MD5, SYN with FIN)"
                    .to_owned(),
            );
        }
        "ListenDrops" => reasons.push("SYNs to a broadcast or multicast address".to_owned()),
        "ListenOverflows" => reasons.push("an XDP or SMC listener's own count".to_owned()),
        _ => {}
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::{Blind, CounterCheck, reasons};
    use crate::counter::Range;

    #[test]
    fn a_difference_has_reasons() {
        let range = |value| Range { low: value, high: value };
        let more = CounterCheck::new("ListenDrops", range(9), 7);
        assert!(!more.agrees());
        let blind = Blind { filtered: true, missed: 2, ..Blind::default() };
        let reasons_of = reasons(&more, &blind);
        assert!(reasons_of[0].ends_with("programs: 2") && reasons_of[1].contains("filter"));
        let unknown = reasons(&more, &Blind { unattributed: 3, ..Blind::default() });
        assert!(unknown[0].ends_with("unknown: 3"), "{unknown:?}");
        let less = CounterCheck::new("ListenDrops", range(6), 7);
        assert!(reasons(&less, &blind)[0].contains("in the middle"));
        assert!(CounterCheck::new("ListenDrops", Range { low: 6, high: 8 }, 7).agrees());
    }

    /// A recording may contain any number.
    #[test]
    fn the_largest_counts_have_moved() {
        let all = CounterCheck::new("ListenDrops", Range { low: u64::MAX, high: u64::MAX }, 1);
        assert!(all.moved());
        let none = CounterCheck::new("ListenDrops", Range { low: 0, high: 0 }, 0);
        assert!(!none.moved());
    }

    #[test]
    fn deferred_acks_are_a_reason_where_ignored_packets_are_not_seen() {
        let more = CounterCheck::new("sk_drops", Range { low: 5, high: 5 }, 0);
        let reasons_of = |ignores| reasons(&more, &Blind { ignores, ..Blind::default() });
        assert!(reasons_of(true)[0].contains("TCP_DEFER_ACCEPT"));
        assert!(!reasons_of(false).iter().any(|reason| reason.contains("TCP_DEFER_ACCEPT")));
    }
}
