//! Findings on a host, derived from the gathered facts. Pure. A finding states a fact with its
//! numbers, and a remedy; its level is its severity.

mod cure;
mod drops;
mod rules;

use serde::Serialize;

use super::host::{Audited, Host, Space};

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Good to know. `--check` never fails for it.
    Info,
    /// It may affect clients later.
    Notice,
    /// It affects clients now, or has affected them.
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

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "finding_kind"))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Problem: the depth is above the limit, so each new client is refused.
    QueueFull,
    /// Problem: the depth is at 80 % of the limit or more.
    QueueHigh,
    /// Problem without cookies, else notice: the same of the SYN queue, which the limit bounds as
    /// well.
    SynQueueHigh,
    /// Problem or notice: `sk_drops` is above 0, unless `ListenDrops` of the namespace is 0, since
    /// then none of them was a loss. A notice if all of them may be ACKs that `TCP_DEFER_ACCEPT`
    /// put off and whether it is set could not be looked up.
    Drops,
    /// Info: the same, where `TCP_DEFER_ACCEPT` is set and `TCPDeferAcceptDrop` of the namespace,
    /// which counts each ACK that it puts off, is not below `sk_drops`.
    DeferAccept,
    /// Info: `ListenDrops` is above 0, and no present listener has dropped anything.
    DropsOfClosed,
    /// Problem: `tcp_abort_on_overflow` is on, and something listens.
    AbortOnOverflow,
    /// Problem or notice: `tcp_syncookies` is 0, and something listens. A problem if
    /// `tcp_max_syn_backlog` - (`tcp_max_syn_backlog` >> 2) + 1, all the places that unknown
    /// clients then get, is less than the largest limit.
    SyncookiesOff,
    /// Problem: `-P`, `-p`, `--cgroup`, `-4` or `-6` was given, and no listener matches.
    NothingListens,
    /// Notice: the limit is somaxconn, so what was asked for was clamped, or is exactly that.
    AtSomaxconn,
    /// Notice: a limit below 64 bounds the SYN queue as well, of a listener that is not on a
    /// loopback address.
    SynQueueBound,
    /// Info: somaxconn was lowered since; after a restart the limit would be less.
    AboveSomaxconn,
    /// Info: what a queue entry takes, and what a limit and its double could cost at most.
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
