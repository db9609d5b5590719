//! The dashboard of one listener, with everything that is known about it.

use super::Kind::{Heatmap, Lines, Table};
use super::Unit::{Count, PerSecond, Ratio, Seconds};
use super::{Dashboard, Panel, Section, Variable, query};

const METRIC: &str = "backlog_accept_queue_limit_connections";

/// The page of a listener.
pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: "backlog-listener",
    title: "TCP accept queues: listener",
    about: "One accept queue: how deep, how long clients wait, who is refused, what to change.",
    variables: &[
        Variable { label: "instance", metric: METRIC, within: &[], is_single: true },
        Variable { label: "process", metric: METRIC, within: &["instance"], is_single: true },
        Variable {
            label: "port",
            metric: METRIC,
            within: &["instance", "process"],
            is_single: true,
        },
        Variable {
            label: "address",
            metric: METRIC,
            within: &["instance", "process", "port"],
            is_single: false,
        },
        Variable {
            label: "netns",
            metric: METRIC,
            within: &["instance", "process", "port"],
            is_single: false,
        },
    ],
    sections: &[
        Section { title: "Queue", panels: QUEUE },
        Section { title: "Waits", panels: WAITS },
        Section { title: "Refused and lost", panels: REFUSED },
        Section { title: "What it is, and what to change", panels: FACTS },
    ],
};

const QUEUE: &[Panel] = &[
    Panel {
        title: "Depth, peak and limit",
        about: "The kernel admits one connection more than the limit.",
        kind: Lines,
        unit: Count,
        queries: &[
            query("backlog_accept_queue_connections{{listener}}", "depth"),
            query("backlog_accept_queue_peak_connections{{listener}}", "peak of a minute"),
            query("backlog_accept_queue_limit_connections{{listener}}", "limit"),
        ],
    },
    Panel {
        title: "Connections per second",
        about: "Queued above accepted: the queue grows.",
        kind: Lines,
        unit: PerSecond,
        queries: &[
            query("rate(backlog_connections_queued_total{{listener}}[$__rate_interval])", "queued"),
            query(
                "rate(backlog_connections_accepted_total{{listener}}[$__rate_interval])",
                "accepted",
            ),
        ],
    },
    Panel {
        title: "Time with a queue",
        about: "Near 100 % the acceptor is saturated: more workers help, a larger backlog does not.",
        kind: Lines,
        unit: Ratio,
        queries: &[query(
            "rate(backlog_accept_queue_busy_seconds_total{{listener}}[$__rate_interval])",
            "busy",
        )],
    },
    Panel {
        title: "SYN queue",
        about: "What bounds unfinished handshakes, and SYNs answered by a cookie because it was full.",
        kind: Lines,
        unit: Count,
        queries: &[
            query("backlog_syn_queue_limit_requests{{listener}}", "limit"),
            query(
                "increase(backlog_syn_cookies_sent_total{{listener}}[$__rate_interval])",
                "cookies",
            ),
        ],
    },
];

const WAITS: &[Panel] = &[
    Panel {
        title: "Wait for accept",
        about: "Quantiles, interpolated between bounds that are a factor of four apart.",
        kind: Lines,
        unit: Seconds,
        queries: &[
            query(
                "histogram_quantile(0.5, sum by (le) (rate(backlog_accept_wait_seconds_bucket{{listener}}[$__rate_interval])))",
                "p50",
            ),
            query(
                "histogram_quantile(0.99, sum by (le) (rate(backlog_accept_wait_seconds_bucket{{listener}}[$__rate_interval])))",
                "p99",
            ),
        ],
    },
    Panel {
        title: "Distribution of waits",
        about: "Accepts by wait; the bounds are exact.",
        kind: Heatmap,
        unit: Seconds,
        queries: &[query(
            "sum by (le) (increase(backlog_accept_wait_seconds_bucket{{listener}}[$__rate_interval]))",
            "{{le}}",
        )],
    },
    Panel {
        title: "Waits beyond the client timeout",
        about: "The share of clients that waited longer than {timeout} s, which is exact.",
        kind: Lines,
        unit: Ratio,
        queries: &[query("backlog:slow_accepts:ratio_rate5m{{listener}}", "beyond {timeout} s")],
    },
    Panel {
        title: "Time since the last accept",
        about: "Long while the depth is above 0: the acceptor has stalled.",
        kind: Lines,
        unit: Seconds,
        queries: &[query(
            "time() - backlog_last_accept_timestamp_seconds{{listener}}",
            "since the last accept",
        )],
    },
];

const REFUSED: &[Panel] = &[
    Panel {
        title: "Dropped packets by cause",
        about: "docs/CAUSES.md explains each cause.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query("rate(backlog_drops_total{{listener}}[$__rate_interval])", "{{cause}}")],
    },
    Panel {
        title: "Clients refused",
        about: "Connection attempts that were refused at least once.",
        kind: Lines,
        unit: Count,
        queries: &[query(
            "increase(backlog_clients_refused_total{{listener}}[$__rate_interval])",
            "refused",
        )],
    },
    Panel {
        title: "Connections abandoned",
        about: "Clients that left the queue before accept, or whose listener closed.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "rate(backlog_connections_abandoned_total{{listener}}[$__rate_interval])",
            "{{how}}",
        )],
    },
];

const FACTS: &[Panel] = &[
    Panel {
        title: "Sizing verdict",
        about: "What to change, by the model of docs/SIZING.md.",
        kind: Table,
        unit: Count,
        queries: &[query("max by (verdict, confidence) (backlog_sizing_verdict{{listener}})", "")],
    },
    Panel {
        title: "Backlog: requested, granted, recommended",
        about: "Granted below requested: clamped by net.core.somaxconn.",
        kind: Lines,
        unit: Count,
        queries: &[
            query("backlog_listener_requested_connections{{listener}}", "requested"),
            query("backlog_accept_queue_limit_connections{{listener}}", "granted"),
            query("backlog_sizing_recommended_connections{{listener}}", "recommended"),
        ],
    },
    Panel {
        title: "Owner",
        about: "The unit, container and user of the process that holds it.",
        kind: Table,
        unit: Count,
        queries: &[query("backlog_listener_info{{listener}}", "")],
    },
    Panel {
        title: "Members and imbalance",
        about: "Sockets of this address and port, and the share of the busiest by the mean.",
        kind: Lines,
        unit: Count,
        queries: &[
            query("backlog_listener_members{{listener}}", "members"),
            query("backlog_reuseport_group_imbalance_ratio{{listener}}", "imbalance"),
        ],
    },
];
