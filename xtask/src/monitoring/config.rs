//! Example configurations of Prometheus and the Alertmanager. The intervals follow the scale of the
//! rules; each inhibition is a row.

use serde::Serialize;

use super::Params;

/// The default address of `backlog-trace serve`.
const ADDRESS: &str = "127.0.0.1:9469";
/// The default address of the Alertmanager.
const ALERTMANAGER: &str = "127.0.0.1:9093";
/// The labels that all alerts on a listener share.
const LISTENER: &[&str] = &["instance", "netns", "address", "port", "process"];

/// An alert that inhibits others which say less.
pub(super) struct Inhibition {
    pub(super) source: &'static str,
    pub(super) targets: &'static [&'static str],
    equal: &'static [&'static str],
}

/// All inhibitions.
pub(super) const INHIBITIONS: [Inhibition; 4] = [
    Inhibition {
        source: "BacklogRefusing",
        targets: &["BacklogNearFull", "BacklogFullSoon", "BacklogWaitsTooLong"],
        equal: LISTENER,
    },
    Inhibition {
        source: "BacklogAcceptorStalled",
        targets: &["BacklogNearFull", "BacklogFullSoon", "BacklogAcceptorSaturated"],
        equal: LISTENER,
    },
    Inhibition { source: "BacklogFullSoon", targets: &["BacklogNearFull"], equal: LISTENER },
    Inhibition {
        source: "BacklogTracerStuck",
        targets: &["BacklogTracerUnreconciled"],
        equal: &["instance"],
    },
];

/// The content of prometheus.yml.
#[derive(Serialize)]
pub(super) struct Prometheus {
    global: Global,
    rule_files: [&'static str; 1],
    alerting: Alerting,
    scrape_configs: [Scrape; 1],
}

#[derive(Serialize)]
struct Global {
    scrape_interval: String,
    scrape_timeout: String,
    evaluation_interval: String,
}

#[derive(Serialize)]
struct Alerting {
    alertmanagers: [Targets; 1],
}

#[derive(Serialize)]
struct Targets {
    static_configs: [Static; 1],
}

#[derive(Serialize)]
struct Static {
    targets: [&'static str; 1],
}

#[derive(Serialize)]
struct Scrape {
    job_name: &'static str,
    static_configs: [Static; 1],
}

/// The configuration of a Prometheus on the same host.
pub(super) fn prometheus(rules: &'static str, params: &Params) -> Prometheus {
    let interval = || params.scale.fill("$15s");
    let targets = |target| [Static { targets: [target] }];
    Prometheus {
        global: Global {
            scrape_interval: interval(),
            scrape_timeout: interval(),
            evaluation_interval: interval(),
        },
        rule_files: [rules],
        alerting: Alerting { alertmanagers: [Targets { static_configs: targets(ALERTMANAGER) }] },
        scrape_configs: [Scrape { job_name: "backlog-trace", static_configs: targets(ADDRESS) }],
    }
}

/// The content of alertmanager.yml.
#[derive(Serialize)]
pub(super) struct Alertmanager {
    route: Route,
    receivers: [Receiver; 1],
    inhibit_rules: Vec<Inhibit>,
}

#[derive(Serialize)]
struct Route {
    receiver: &'static str,
    group_by: [&'static str; 3],
}

#[derive(Serialize)]
struct Receiver {
    name: &'static str,
    webhook_configs: [Webhook; 1],
}

#[derive(Serialize)]
struct Webhook {
    url: &'static str,
}

#[derive(Serialize)]
struct Inhibit {
    source_matchers: [String; 1],
    target_matchers: [String; 1],
    equal: &'static [&'static str],
}

/// The configuration of an Alertmanager: one notification per service, and no warnings about a
/// listener that already refuses.
pub(super) fn alertmanager() -> Alertmanager {
    let inhibit = |inhibition: &Inhibition| Inhibit {
        source_matchers: [format!("alertname=\"{}\"", inhibition.source)],
        target_matchers: [format!("alertname=~\"{}\"", inhibition.targets.join("|"))],
        equal: inhibition.equal,
    };
    Alertmanager {
        route: Route { receiver: "webhook", group_by: ["alertname", "process", "port"] },
        receivers: [Receiver {
            name: "webhook",
            webhook_configs: [Webhook { url: "http://127.0.0.1:8080/" }],
        }],
        inhibit_rules: INHIBITIONS.iter().map(inhibit).collect(),
    }
}
