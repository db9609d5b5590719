//! The rule file: recording rules, followed by the alerts.

pub(super) mod recorded;
mod recording;

use serde::Serialize;

use super::alerts::{self, Alert};
use super::{Params, words};

/// The page of runbooks, with a section for each alert.
pub(super) const RUNBOOKS: &str = "docs/ALERTS.md";

/// The content of a rule file.
#[derive(Serialize)]
pub(super) struct File {
    groups: Vec<Group>,
}

/// Rules that Prometheus evaluates in sequence.
#[derive(Serialize)]
struct Group {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rule {
    Record { record: &'static str, expr: String },
    Alert(Box<AlertRule>),
}

#[derive(Serialize)]
struct AlertRule {
    alert: &'static str,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "String::is_empty")]
    hold: String,
    #[serde(rename = "keep_firing_for", skip_serializing_if = "String::is_empty")]
    keep: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Labels {
    severity: &'static str,
}

/// The texts of an alert.
#[derive(Serialize)]
pub(super) struct Annotations {
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) runbook_url: String,
}

/// All rules.
pub(super) fn file(params: &Params) -> File {
    let recorded = recording::GROUPS.iter().map(|group| Group {
        name: group.name,
        interval: group.interval.map(|interval| params.scale.fill(interval)),
        rules: group.rules.iter().map(|rule| record(rule, params)).collect(),
    });
    let alerts = alerts::GROUPS.iter().map(|group| Group {
        name: group.name,
        interval: None,
        rules: group.alerts().map(|alert| Rule::Alert(Box::new(rule(alert, params)))).collect(),
    });
    File { groups: recorded.chain(alerts).collect() }
}

/// The names of the recorded series.
#[cfg(test)]
pub(super) fn recorded_names() -> impl Iterator<Item = &'static str> {
    recording::GROUPS.iter().flat_map(|group| group.rules.iter().map(|(name, _)| *name))
}

/// Every expression as written, with the name of its rule.
#[cfg(test)]
pub(super) fn expressions(params: &Params) -> Vec<(&'static str, String)> {
    let recorded = recording::GROUPS.iter().flat_map(|group| group.rules);
    recorded
        .copied()
        .chain(alerts::all().map(|alert| (alert.name, alert.expr)))
        .map(|(name, expr)| (name, words::parameters(expr, params)))
        .collect()
}

fn record((record, expr): &(&'static str, &str), params: &Params) -> Rule {
    Rule::Record { record, expr: words::parameters(expr, params) }
}

fn rule(alert: &Alert, params: &Params) -> AlertRule {
    AlertRule {
        alert: alert.name,
        expr: words::parameters(alert.expr, params),
        hold: params.scale.fill(alert.hold),
        keep: params.scale.fill(alert.keep),
        labels: Labels { severity: alert.severity.name() },
        annotations: Annotations {
            summary: words::template(alert.summary, params),
            description: words::parameters(alert.action, params),
            runbook_url: runbook(alert, params),
        },
    }
}

/// The link to the runbook of an alert.
pub(super) fn runbook(alert: &Alert, params: &Params) -> String {
    format!("{}#{}", params.runbooks, alert.name.to_lowercase())
}
