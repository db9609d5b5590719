//! Queries a running Prometheus with promtool.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Params, dashboards, tools};
use crate::process;

/// The dashboard variables other than the host, all set to everything.
const CHOICES: [(&str, &str); 5] = [
    ("$__rate_interval", "1m"),
    ("$netns", ".*"),
    ("$address", ".*"),
    ("$port", ".*"),
    ("$process", ".*"),
];

/// The value of a query with a single result.
pub(super) fn value(url: &str, query: &str) -> Result<f64> {
    let text = instant(url, query)?;
    let (_, value) = text.split_once("=> ").with_context(|| format!("{query}: no value"))?;
    let value = value.split_whitespace().next().unwrap_or_default();
    value.parse().with_context(|| format!("{query}: {text}"))
}

/// Runs every query of every dashboard for some hosts (a pattern for `instance`); returns those
/// without a series. A query that Prometheus does not accept is an error.
pub(super) fn dashboards(url: &str, hosts: &str) -> Result<Vec<String>> {
    let mut empty = Vec::new();
    for page in dashboards::ALL {
        for (title, mut expr) in dashboards::expressions(page, &Params::default()) {
            for (variable, choice) in CHOICES.into_iter().chain([("$instance", hosts)]) {
                expr = expr.replace(variable, choice);
            }
            if instant(url, &expr)?.trim().is_empty() {
                empty.push(format!("{}, {title}: {expr}", page.uid));
            }
        }
    }
    Ok(empty)
}

fn instant(url: &str, query: &str) -> Result<String> {
    let mut promtool = Command::new(tools::obtain("promtool")?);
    process::capture(promtool.args(["query", "instant", url, query]))
}
