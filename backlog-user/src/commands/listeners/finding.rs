//! The findings on a host, derived from the gathered facts. Pure. A finding states a fact with its
//! numbers, its severity, and a remedy.

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
    /// The name in the output.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Problem => "problem",
        }
    }
}

/// Defines the kinds of findings, each with its name and meaning, which the schema and `explain`
/// use.
macro_rules! kinds {
    ($($row:ident { name: $name:literal, meaning: $meaning:literal })+) => {
        /// What a finding is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[cfg_attr(test, schemars(rename = "finding_kind"))]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum Kind {
            $(#[doc = $meaning] $row),+
        }

        impl Kind {
            /// All kinds.
            pub(crate) const ALL: &[Self] = &[$(Self::$row),+];

            /// The name in the output and when serialised.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$row => $name),+
                }
            }

            /// The possible levels of such a finding, and its condition.
            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$row => $meaning),+
                }
            }
        }
    };
}

kinds! {
    QueueFull { name: "queue_full", meaning: "Problem: the depth is above the limit, so each new client is refused." }
    QueueHigh { name: "queue_high", meaning: "Problem: the depth is at 80 % of the limit or more." }
    SynQueueHigh { name: "syn_queue_high", meaning: "Problem without cookies, else notice: the same of the SYN queue, which the \
                  limit bounds as well." }
    Drops { name: "drops", meaning: "Problem or notice: `sk_drops` is above 0, unless `ListenDrops` of the \
                  namespace is 0, since then none of them was a loss. A notice if all of them \
                  may be ACKs that `TCP_DEFER_ACCEPT` put off and whether it is set could not \
                  be looked up." }
    DeferAccept { name: "defer_accept", meaning: "Info: the same, where `TCP_DEFER_ACCEPT` is set and `TCPDeferAcceptDrop` of \
                  the namespace, which counts each ACK that it puts off, is not below \
                  `sk_drops`." }
    DropsOfClosed { name: "drops_of_closed", meaning: "Info: `ListenDrops` is above 0, and no present listener has dropped \
                  anything." }
    AbortOnOverflow { name: "abort_on_overflow", meaning: "Problem: `tcp_abort_on_overflow` is on, and something listens." }
    SyncookiesOff { name: "syncookies_off", meaning: "Problem or notice: `tcp_syncookies` is 0, and something listens. A problem \
                  if `tcp_max_syn_backlog` - (`tcp_max_syn_backlog` >> 2) + 1, all the places \
                  that unknown clients then get, is less than the largest limit." }
    NothingListens { name: "nothing_listens", meaning: "Problem: `-P`, `-p`, `--cgroup`, `-4` or `-6` was given, and no listener \
                  matches." }
    AtSomaxconn { name: "at_somaxconn", meaning: "Notice: the limit is somaxconn, so what was asked for was clamped, or is \
                  exactly that." }
    SynQueueBound { name: "syn_queue_bound", meaning: "Notice: a limit below 64 bounds the SYN queue as well, of a listener that is \
                  not on a loopback address." }
    AboveSomaxconn { name: "above_somaxconn", meaning: "Info: somaxconn was lowered since; after a restart the limit would be less." }
    Memory { name: "memory", meaning: "Info: what a queue entry takes, and what a limit and its double could cost \
                  at most." }
}

/// A finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding<'a> {
    pub(crate) level: Level,
    pub(crate) kind: Kind,
    /// None: about the whole host.
    pub(crate) space: Option<&'a Space>,
    /// None: about the whole namespace.
    pub(crate) listener: Option<&'a Audited>,
    /// The fact as text, with its numbers.
    pub(crate) fact: String,
    /// The remedy; findings of one kind may share it.
    pub(crate) cure: Option<String>,
}

/// Finds everything, the most severe first; findings of one level keep the order of the host.
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

/// Is there a finding of at least this level, so that `--check` fails?
pub(crate) fn is_any(findings: &[Finding<'_>], at_least: Level) -> bool {
    findings.iter().any(|finding| finding.level >= at_least)
}

#[cfg(test)]
mod tests;
