//! The dashboards: a file per dashboard, a row per panel. `grafana` renders them as JSON.

mod fleet;
mod grafana;
mod host;
mod listener;

use super::{Params, words};

/// A dashboard.
pub(super) struct Dashboard {
    /// The name of its file, and its UID in Grafana.
    pub(super) uid: &'static str,
    title: &'static str,
    about: &'static str,
    variables: &'static [Variable],
    sections: &'static [Section],
}

/// A variable that the user selects: a label, and the metric with its values.
struct Variable {
    label: &'static str,
    metric: &'static str,
    /// Labels that must be selected first.
    within: &'static [&'static str],
    /// Select a single value only?
    is_single: bool,
}

/// A row of panels with a title.
struct Section {
    title: &'static str,
    panels: &'static [Panel],
}

/// A panel.
struct Panel {
    title: &'static str,
    /// What it shows and when to worry, in a sentence.
    about: &'static str,
    kind: Kind,
    unit: Unit,
    queries: &'static [Query],
}

/// How a panel displays its series.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The last value as a number.
    Number,
    /// Lines over time.
    Lines,
    /// Buckets of a histogram over time.
    Heatmap,
    /// The labels and last values as rows.
    Table,
}

/// The unit of its values.
#[derive(Clone, Copy)]
enum Unit {
    Count,
    PerSecond,
    Ratio,
    Seconds,
    Bytes,
}

/// A query, and the name of its series.
struct Query {
    expr: &'static str,
    legend: &'static str,
}

const fn query(expr: &'static str, legend: &'static str) -> Query {
    Query { expr, legend }
}

/// All dashboards.
pub(super) const ALL: [&Dashboard; 3] = [&fleet::DASHBOARD, &host::DASHBOARD, &listener::DASHBOARD];

/// Placeholders for the selected hosts and listeners in an expression.
const SELECTIONS: [(&str, &str); 2] = [
    ("{host}", "instance=~\"$instance\""),
    (
        "{listener}",
        "instance=~\"$instance\",netns=~\"$netns\",address=~\"$address\",port=~\"$port\",process=~\"$process\"",
    ),
];

/// Every query with the title of its panel. `select` replaces the variables.
pub(super) fn expressions(dashboard: &Dashboard, params: &Params) -> Vec<(&'static str, String)> {
    let panels = dashboard.sections.iter().flat_map(|section| section.panels);
    let queries = panels.flat_map(|panel| panel.queries.iter().map(|query| (panel.title, query)));
    queries.map(|(title, query)| (title, expression(query, params))).collect()
}

/// The JSON of a dashboard.
pub(super) fn json(dashboard: &Dashboard, params: &Params) -> serde_json::Value {
    grafana::dashboard(dashboard, params)
}

fn expression(query: &Query, params: &Params) -> String {
    let mut expr = words::parameters(query.expr, params);
    for (selection, labels) in SELECTIONS {
        expr = expr.replace(selection, labels);
    }
    expr
}
