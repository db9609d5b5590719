//! The rules as an object for the Prometheus operator.

use serde::Serialize;

use super::{Params, rules};

/// A `PrometheusRule`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrometheusRule {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: rules::File,
}

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
    labels: Labels,
}

#[derive(Serialize)]
struct Labels {
    #[serde(rename = "app.kubernetes.io/name")]
    name: &'static str,
}

/// The object.
pub(super) fn rule(params: &Params) -> PrometheusRule {
    PrometheusRule {
        api_version: "monitoring.coreos.com/v1",
        kind: "PrometheusRule",
        metadata: Metadata { name: "backlog-trace", labels: Labels { name: "backlog-trace" } },
        spec: rules::file(params),
    }
}
