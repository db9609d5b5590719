//! Findings on a host, derived from the gathered facts. Pure. A finding states a fact with its
//! numbers, and a remedy; its level is its severity.

mod cure;
mod drops;
mod rules;

use serde::Serialize;

use super::host::{Audited, Host, Space};

/// How much it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Good to know; never a reason for `--check` to fail.
    Info,
    /// It may hurt later.
    Notice,
    /// It hurts now, or has hurt.
    Problem,
}

impl Level {
    /// As it is printed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Problem => "problem",
        }
    }
}

/// Its kind; docs/JSON.md explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    QueueFull,
    QueueHigh,
    SynQueueHigh,
    Drops,
    DeferAccept,
    DropsOfClosed,
    AbortOnOverflow,
    SyncookiesOff,
    NothingListens,
    AtSomaxconn,
    SynQueueBound,
    AboveSomaxconn,
    Memory,
}

impl Kind {
    /// As it is printed, and as it is serialised.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueHigh => "queue_high",
            Self::SynQueueHigh => "syn_queue_high",
            Self::Drops => "drops",
            Self::DeferAccept => "defer_accept",
            Self::DropsOfClosed => "drops_of_closed",
            Self::AbortOnOverflow => "abort_on_overflow",
            Self::SyncookiesOff => "syncookies_off",
            Self::NothingListens => "nothing_listens",
            Self::AtSomaxconn => "at_somaxconn",
            Self::SynQueueBound => "syn_queue_bound",
            Self::AboveSomaxconn => "above_somaxconn",
            Self::Memory => "memory",
        }
    }
}

/// A finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding<'a> {
    pub(crate) level: Level,
    pub(crate) kind: Kind,
    /// None: of the whole host.
    pub(crate) space: Option<&'a Space>,
    /// None: of the whole namespace.
    pub(crate) listener: Option<&'a Audited>,
    /// The fact, with its numbers.
    pub(crate) fact: String,
    /// What to do about it; findings of one kind may share it.
    pub(crate) cure: Option<String>,
}

/// All of them, the gravest first, of one level in the order of the host.
pub(crate) fn find(host: &Host) -> Vec<Finding<'_>> {
    let mut found: Vec<Finding<'_>> = Vec::new();
    for space in &host.spaces {
        rules::of_space(space, &mut found);
        for listener in &space.listeners {
            rules::of_listener(space, listener, &mut found);
        }
    }
    rules::of_host(host, &mut found);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

/// The gravest that `--check` is to fail for, if there is one.
pub(crate) fn is_any(findings: &[Finding<'_>], at_least: Level) -> bool {
    findings.iter().any(|finding| finding.level >= at_least)
}

#[cfg(test)]
mod tests;
