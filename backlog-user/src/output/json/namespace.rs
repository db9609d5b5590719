//! The comparison of what was seen in a network namespace with the kernel's counters.

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::model::reconcile::{self, Account, Blind, CounterCheck};
use backlog_core::run::End;
use serde::Serialize;

use super::meta::Settings;
use super::values::{At, ByCounter};

/// `namespace`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NamespaceLine {
    #[serde(flatten)]
    at: At,
    /// The inode number of the network namespace.
    netns: u32,
    /// Distinguishes it from others with that inode number, as in `listener`. Null: not known.
    netns_id: Option<u32>,
    /// Its sysctls. Only in the line at the end of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    /// The kernel's counters and what was seen of them, since the start.
    reconciled: ByCounter<Comparison>,
    /// Packets that were refused after the kernel was asked last, in a namespace that has ended.
    unread_drops: u64,
    /// Likely reasons for each counter that differs.
    differs: ByCounter<Vec<String>>,
}

/// One of the kernel's counters since the start. The kernel knows no filter, so it may have
/// counted more. Its counter was read before and after the tool's own; the value in between that
/// is nearest to `seen` is given.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Comparison {
    /// What the kernel counted.
    kernel: u64,
    /// What the tool saw of it.
    seen: u64,
}

/// Comparisons by counter.
pub(super) fn comparisons<'a>(
    checks: impl IntoIterator<Item = &'a CounterCheck>,
) -> ByCounter<Comparison> {
    let each = |check: &CounterCheck| {
        let CounterCheck { counter, kernel, seen } = *check;
        (counter, Comparison { kernel, seen })
    };
    ByCounter(checks.into_iter().map(each).collect())
}

impl NamespaceLine {
    /// The line at the end of an interval.
    pub(super) fn of(clock: &Clock, time_ns: u64, account: &Account, blind: &Blind) -> Self {
        let Account { netns, verdicts, unread_drops } = account;
        let differing = verdicts.iter().filter(|check| !check.agrees());
        let reasons = differing.map(|check| (check.counter, reconcile::reasons(check, blind)));
        Self {
            at: At::of(clock, time_ns),
            netns: netns.inode(),
            netns_id: netns.identity(),
            settings: None,
            reconciled: comparisons(verdicts),
            unread_drops: *unread_drops,
            differs: ByCounter(reasons.collect()),
        }
    }

    /// The line at the end of the run.
    pub(super) fn at_end(clock: &Clock, model: &Model, account: &Account, end: &End) -> Self {
        let settings = model.settings_of(account.netns).copied().unwrap_or_default();
        Self {
            settings: Some((&settings).into()),
            ..Self::of(clock, end.time_ns, account, &end.blind)
        }
    }
}
