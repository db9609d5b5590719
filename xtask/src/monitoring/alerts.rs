//! The alerts, a row each: when it fires, what it says, and the cases of its unit test. Rendering
//! them as files is for `rules` and `unit`.

mod after;
mod before;
mod case;
mod overload;
mod tracer;

pub(super) use case::{Case, Series, Subject, series, series_of};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Clients are refused, or will be within minutes.
    Critical,
    /// Somebody should act today.
    Warning,
    /// Somebody should know.
    Info,
}

impl Severity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One alert. `$5m` is a duration that `--scale` divides (see `times`), `{listener}` and the like
/// are described in `words`.
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) expr: &'static str,
    /// How long it has to hold; empty: not at all.
    pub(super) hold: &'static str,
    /// How long it stays after its end; empty: not at all.
    pub(super) keep: &'static str,
    pub(super) summary: &'static str,
    /// What to do, in a sentence or two.
    pub(super) action: &'static str,
    pub(super) cases: &'static [Case],
}

/// Alerts that belong together.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) alerts: &'static [&'static [Alert]],
}

impl Group {
    pub(super) fn alerts(&self) -> impl Iterator<Item = &'static Alert> {
        self.alerts.iter().flat_map(|alerts| alerts.iter())
    }
}

/// All of them.
pub(super) const GROUPS: [Group; 3] = [
    Group { name: "backlog-before-the-first-refusal", alerts: &[before::ALERTS, overload::ALERTS] },
    Group { name: "backlog-refusing", alerts: &[after::ALERTS] },
    Group { name: "backlog-tracer", alerts: &[tracer::ALERTS] },
];

/// Every alert.
pub(super) fn all() -> impl Iterator<Item = &'static Alert> {
    GROUPS.iter().flat_map(Group::alerts)
}
