//! The unit tests of the rules, in the format of `promtool test rules`. They are generated from the
//! cases next to the recording rules and each alert, with the durations of the checked-in rules.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::alerts::{self, Alert, Case, Series, Subject};
use super::rules::{Annotations, recorded, runbook};
use super::{Params, words};

/// The content of a file of unit tests.
#[derive(Serialize)]
pub(super) struct File {
    rule_files: [&'static str; 1],
    evaluation_interval: &'static str,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: String,
    interval: &'static str,
    input_series: Vec<Input>,
    #[serde(rename = "alert_rule_test", skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<Expectation>,
    #[serde(rename = "promql_expr_test", skip_serializing_if = "Vec::is_empty")]
    recorded: Vec<Query>,
}

#[derive(Serialize)]
struct Input {
    series: String,
    values: &'static str,
}

#[derive(Serialize)]
struct Expectation {
    eval_time: &'static str,
    alertname: &'static str,
    exp_alerts: Vec<Expected>,
}

/// A query for a recorded series.
#[derive(Serialize)]
struct Query {
    expr: &'static str,
    eval_time: &'static str,
    exp_samples: Vec<Sample>,
}

#[derive(Serialize)]
struct Sample {
    labels: String,
    value: f64,
}

#[derive(Serialize)]
struct Expected {
    exp_labels: Labels,
    exp_annotations: Annotations,
}

/// Labels sorted by name.
struct Labels(Vec<(&'static str, String)>);

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// All cases of all rules.
pub(super) fn file(rules: &'static str, params: &Params) -> File {
    let recorded = recorded::CASES.iter().map(|case| of_recorded(case, params));
    let alerts = alerts::all()
        .flat_map(|alert| alert.cases.iter().map(move |case| test(alert, case, params)));
    let tests = recorded.chain(alerts).collect();
    File { rule_files: [rules], evaluation_interval: "15s", tests }
}

fn of_recorded(case: &recorded::Case, params: &Params) -> Test {
    let queries = case.expect.iter().map(|&(expr, samples)| Query {
        expr,
        eval_time: case.time,
        exp_samples: samples
            .iter()
            .map(|one| Sample {
                labels: name(expr, &labels(one.subject, one.more, params)),
                value: one.value,
            })
            .collect(),
    });
    Test {
        name: case.name.to_owned(),
        interval: case.interval,
        input_series: case.input.iter().map(|series| input(series, params)).collect(),
        alerts: Vec::new(),
        recorded: queries.collect(),
    }
}

fn test(alert: &Alert, case: &Case, params: &Params) -> Test {
    let expect = case.expect.iter().map(|at| Expectation {
        eval_time: at.time,
        alertname: alert.name,
        exp_alerts: at
            .fires
            .iter()
            .map(|fired| {
                expected(alert, &labels(fired.subject, fired.more, params), fired.value, params)
            })
            .collect(),
    });
    Test {
        name: format!("{}: {}", alert.name, case.name),
        interval: case.interval,
        input_series: case.input.iter().map(|series| input(series, params)).collect(),
        alerts: expect.collect(),
        recorded: Vec::new(),
    }
}

fn input(series: &Series, params: &Params) -> Input {
    let labels = labels(series.subject, series.more, params);
    Input { series: name(series.metric, &labels), values: series.values }
}

/// A series in the notation of a query.
fn name(metric: &str, labels: &[(&'static str, String)]) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{metric}{{{}}}", labels.join(","))
}

fn labels(
    subject: Subject,
    more: &[(&'static str, &'static str)],
    params: &Params,
) -> Vec<(&'static str, String)> {
    let mut labels: Vec<(&'static str, String)> = subject
        .labels()
        .iter()
        .chain(more)
        .map(|(name, value)| (*name, words::parameters(value, params)))
        .collect();
    labels.sort();
    labels
}

fn expected(
    alert: &Alert,
    labels: &[(&'static str, String)],
    value: &str,
    params: &Params,
) -> Expected {
    let label = |wanted: &str| {
        let found = labels.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    // For Prometheus, an empty label does not exist.
    let mut exp_labels: Vec<(&'static str, String)> =
        labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    exp_labels.push(("severity", alert.severity.name().to_owned()));
    Expected {
        exp_annotations: Annotations {
            summary: words::expected(alert.summary, label, value, params),
            description: words::parameters(alert.action, params),
            runbook_url: runbook(alert, params),
        },
        exp_labels: Labels(exp_labels),
    }
}
