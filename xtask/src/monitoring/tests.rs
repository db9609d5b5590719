//! Tests that the checked-in files match the code, and that the code only uses existing metrics.

use std::collections::BTreeSet;
use std::fs;

use backlog_core::metrics::{FAMILIES, FamilyKind};

use super::metrics::{METRICS, Of, WAIT_BOUNDS};
use super::{Params, alerts, bound, config, dashboards, files, rules};
use crate::paths;

#[test]
fn the_files_are_those_of_the_code() {
    for (name, text) in files(&Params::default()).unwrap() {
        let file = paths::root().join("packaging").join(&name);
        let here = fs::read_to_string(&file).unwrap_or_default();
        assert!(here == text, "packaging/{name} differs: run `cargo xtask monitoring`");
    }
}

/// A separate list in xtask, so that the tasks need not build the tool just for the names.
#[test]
fn the_metrics_are_those_of_serve() {
    let mut served = BTreeSet::new();
    for family in FAMILIES {
        // For `how`: `reset`, `fin`, `close`.
        let labels = family.labels.split(':').next().unwrap_or_default();
        let mut labels: Vec<&str> = labels.split('`').skip(1).step_by(2).collect();
        let of_namespace = labels.first() == Some(&"netns");
        if of_namespace {
            labels.remove(0);
        }
        let of = match (family.of_listener, of_namespace) {
            (true, _) => Of::Listener,
            (false, true) => Of::Namespace,
            (false, false) => Of::Host,
        };
        let mut add = |end: &str, labels: &[&'static str]| {
            served.insert((format!("{}{end}", family.name), of, labels.to_vec()));
        };
        if family.kind == FamilyKind::Histogram {
            add("_bucket", &labels);
            add("_sum", &[]);
            add("_count", &[]);
        } else {
            add(family.kind.suffix(), &labels);
        }
    }
    let known = METRICS.iter().map(|one| (one.name.to_owned(), one.of, one.labels.to_vec()));
    assert_eq!(known.collect::<BTreeSet<_>>(), served);
    assert_eq!(WAIT_BOUNDS, backlog_core::metrics::WAIT_BOUNDS);
}

#[test]
fn every_query_reads_series_that_exist() {
    let known: BTreeSet<&str> = METRICS
        .iter()
        .map(|metric| metric.name)
        .chain(rules::recorded_names())
        .chain(["up"])
        .collect();
    let params = Params::default();
    let panels = dashboards::ALL.iter().flat_map(|page| dashboards::expressions(page, &params));
    for (rule, expr) in rules::expressions(&params).into_iter().chain(panels) {
        for name in names(&expr) {
            assert!(known.contains(name), "{rule}: {name} is not a metric of serve");
        }
    }
}

/// The words with one of our prefixes.
fn names(expr: &str) -> impl Iterator<Item = &str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "_:".contains(char);
    expr.split(move |char| !is_part(char))
        .filter(|word| word.contains("backlog_") || word.contains("backlog:"))
        .filter(|word| !word.is_empty())
}

#[test]
fn a_timeout_becomes_the_bound_below_it() {
    assert_eq!(bound(1.048_576).unwrap(), "1.048576");
    assert_eq!(bound(5.0).unwrap(), "4.194304");
    assert_eq!(bound(1.0).unwrap(), "0.262144");
    assert!(bound(0.0).is_err());
}

#[test]
fn what_is_inhibited_is_an_alert() {
    let alerts: BTreeSet<&str> = alerts::all().map(|alert| alert.name).collect();
    for inhibition in &config::INHIBITIONS {
        for name in inhibition.targets.iter().chain([&inhibition.source]) {
            assert!(alerts.contains(name), "{name}");
        }
    }
}

#[test]
fn each_recording_rule_is_tested() {
    let tested: Vec<&str> =
        rules::recorded::CASES.iter().flat_map(|case| case.expect).map(|(name, _)| *name).collect();
    for name in rules::recorded_names() {
        assert!(tested.contains(&name), "{name}");
    }
}

#[test]
fn each_alert_is_tested_firing_and_silent() {
    for alert in alerts::all() {
        let mut moments = alert.cases.iter().flat_map(|case| case.expect);
        assert!(moments.clone().any(|at| !at.fires.is_empty()), "{} never fires", alert.name);
        assert!(moments.any(|at| at.fires.is_empty()), "{} has no silent case", alert.name);
    }
}
