//! The dashboard of the fleet: services and hosts. It only uses recorded sums, so that thousands of
//! hosts need as few series as ten.

use super::Kind::{Lines, Number, Table};
use super::Unit::{Count, PerSecond, Ratio, Seconds};
use super::{Dashboard, Panel, Section, query};

/// The first dashboard to open.
pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: "backlog-fleet",
    title: "TCP accept queues: fleet",
    about: "Which services and hosts are near their limits, and which refuse clients.",
    variables: &[],
    sections: &[
        Section { title: "Now", panels: NOW },
        Section { title: "Services", panels: SERVICES },
        Section { title: "Hosts", panels: HOSTS },
        Section { title: "Tracers", panels: TRACERS },
    ],
};

const SERVICE: &str = "{{process}}:{{port}}";

const NOW: &[Panel] = &[
    Panel {
        title: "Hosts",
        about: "Hosts whose tracer answers.",
        kind: Number,
        unit: Count,
        queries: &[query("sum(up{job=\"backlog-trace\"})", "")],
    },
    Panel {
        title: "Listeners",
        about: "Listeners with series of their own.",
        kind: Number,
        unit: Count,
        queries: &[query("sum(service:backlog_listeners:count)", "")],
    },
    Panel {
        title: "Near full",
        about: "Listeners with a peak of 80 % of their limit or more in the last minute.",
        kind: Number,
        unit: Count,
        queries: &[query("sum(service:backlog_near_full:count) or vector(0)", "")],
    },
    Panel {
        title: "Dropped packets",
        about: "Packets refused at listeners, of all causes.",
        kind: Number,
        unit: PerSecond,
        queries: &[query("sum(instance:backlog_drops:rate5m)", "")],
    },
];

const SERVICES: &[Panel] = &[
    Panel {
        title: "Peak use, the ten fullest services",
        about: "The deepest queue of any host by its limit. Above 100 % clients are refused.",
        kind: Lines,
        unit: Ratio,
        queries: &[query("topk(10, service:backlog_accept_queue_peak_use_ratio:max)", SERVICE)],
    },
    Panel {
        title: "Dropped packets by service and cause",
        about: "docs/CAUSES.md explains each cause.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "topk(10, service:backlog_drops:rate5m)",
            "{{process}}:{{port}} {{cause}}",
        )],
    },
    Panel {
        title: "Wait for accept, 99th percentile",
        about: "Interpolated between bounds that are a factor of four apart.",
        kind: Lines,
        unit: Seconds,
        queries: &[query("topk(10, service:backlog_accept_wait_seconds:p99_rate5m)", SERVICE)],
    },
    Panel {
        title: "Connections per second",
        about: "Connections added to accept queues.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query("topk(10, service:backlog_connections_queued:rate5m)", SERVICE)],
    },
    Panel {
        title: "Firing alerts",
        about: "docs/ALERTS.md has a runbook for each.",
        kind: Table,
        unit: Count,
        queries: &[query(
            "sum by (alertname, severity, process, port) (ALERTS{alertname=~\"Backlog.+\",alertstate=\"firing\"})",
            "",
        )],
    },
];

const HOSTS: &[Panel] = &[
    Panel {
        title: "Peak use, the ten fullest hosts",
        about: "The fullest queue of each host. Open the host from the legend's link.",
        kind: Lines,
        unit: Ratio,
        queries: &[query(
            "topk(10, instance:backlog_accept_queue_peak_use_ratio:max)",
            "{{instance}}",
        )],
    },
    Panel {
        title: "Dropped packets by host",
        about: "Of all listeners, also those without series of their own.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query("topk(10, instance:backlog_drops:rate5m)", "{{instance}}")],
    },
];

const TRACERS: &[Panel] = &[
    Panel {
        title: "Tracers by backend and version",
        about: "The backend tracepoint is less exact than fentry and kprobe.",
        kind: Table,
        unit: Count,
        queries: &[query("count by (backend, version) (backlog_tracer_build_info)", "")],
    },
    Panel {
        title: "Lost events by reason",
        about: "Events of the last hour that the tracers could not record.",
        kind: Lines,
        unit: Count,
        queries: &[query(
            "sum by (reason) (increase(backlog_tracer_lost_total[1h]))",
            "{{reason}}",
        )],
    },
];
