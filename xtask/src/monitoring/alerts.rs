//! The alerts, one row each: the condition, the texts, and the cases of its unit test. `rules` and
//! `unit` render them as files.

mod after;
mod before;
mod case;
mod overload;
mod tracer;

pub(super) use case::{Case, Series, Subject, series, series_of};

/// The severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Clients are being refused, or will be within minutes.
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

/// An alert. In expressions, `--scale` divides durations like `$5m` (see `times`); `words` replaces
/// placeholders like `{listener}`.
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) expr: &'static str,
    /// How long the condition must hold before the alert fires; empty for no time.
    pub(super) hold: &'static str,
    /// How long the alert keeps firing after the condition has ended; empty for no time.
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

/// All groups.
pub(super) const GROUPS: [Group; 3] = [
    Group { name: "backlog-before-the-first-refusal", alerts: &[before::ALERTS, overload::ALERTS] },
    Group { name: "backlog-refusing", alerts: &[after::ALERTS] },
    Group { name: "backlog-tracer", alerts: &[tracer::ALERTS] },
];

/// Every alert.
pub(super) fn all() -> impl Iterator<Item = &'static Alert> {
    GROUPS.iter().flat_map(Group::alerts)
}
