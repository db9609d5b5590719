//! The dashboard of one host: its listeners by use, their drops, and the tracer itself.

use super::Kind::{Lines, Number, Table};
use super::Unit::{Bytes, Count, PerSecond, Ratio, Seconds};
use super::{Dashboard, Panel, Section, Variable, query};

/// The page of a host.
pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: "backlog-host",
    title: "TCP accept queues: host",
    about: "The listeners of a host: which is near its limit, which drops, and why.",
    variables: &[Variable {
        label: "instance",
        metric: "backlog_tracer_build_info",
        within: &[],
        is_single: false,
    }],
    sections: &[
        Section { title: "Now", panels: NOW },
        Section { title: "Queues", panels: QUEUES },
        Section { title: "Clients", panels: CLIENTS },
        Section { title: "Tracer", panels: TRACER },
    ],
};

const LISTENER: &str = "{{process}} {{address}}:{{port}} {{netns}}";

const NOW: &[Panel] = &[
    Panel {
        title: "Peak use",
        about: "The fullest queue of the last minute by its limit.",
        kind: Number,
        unit: Ratio,
        queries: &[query("max(backlog_accept_queue_peak_use_ratio{{host}})", "")],
    },
    Panel {
        title: "Connections per second",
        about: "Connections added to accept queues.",
        kind: Number,
        unit: PerSecond,
        queries: &[query(
            "sum(rate(backlog_host_connections_queued_total{{host}}[$__rate_interval]))",
            "",
        )],
    },
    Panel {
        title: "Dropped packets",
        about: "Packets refused at listeners, of all causes.",
        kind: Number,
        unit: PerSecond,
        queries: &[query("sum(rate(backlog_host_drops_total{{host}}[$__rate_interval]))", "")],
    },
    Panel {
        title: "Listeners",
        about: "Listeners that the tracer knows, in every state.",
        kind: Number,
        unit: Count,
        queries: &[query("sum(backlog_tracer_listeners{{host}})", "")],
    },
];

const QUEUES: &[Panel] = &[
    Panel {
        title: "Peak use, the ten fullest listeners",
        about: "The deepest queue of each minute by its limit. Above 100 % clients are refused.",
        kind: Lines,
        unit: Ratio,
        queries: &[query("topk(10, backlog_accept_queue_peak_use_ratio{{host}})", LISTENER)],
    },
    Panel {
        title: "Depth",
        about: "Connections that wait for accept.",
        kind: Lines,
        unit: Count,
        queries: &[query("topk(10, backlog_accept_queue_connections{{host}})", LISTENER)],
    },
    Panel {
        title: "Time with a queue",
        about: "Near 100 % the acceptor is saturated: more workers help, a larger backlog does not.",
        kind: Lines,
        unit: Ratio,
        queries: &[query(
            "topk(10, rate(backlog_accept_queue_busy_seconds_total{{host}}[$__rate_interval]))",
            LISTENER,
        )],
    },
    Panel {
        title: "SYN cookies",
        about: "SYNs answered by a cookie because the SYN queue was full: a flood, or clients far away.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "topk(10, rate(backlog_syn_cookies_sent_total{{host}}[$__rate_interval]))",
            LISTENER,
        )],
    },
    Panel {
        title: "Sizing verdicts",
        about: "What to change, by the model of docs/SIZING.md.",
        kind: Table,
        unit: Count,
        queries: &[query(
            "max by (process, address, port, netns, verdict, confidence) (backlog_sizing_verdict{{host},verdict!=\"not_enough_data\"})",
            "",
        )],
    },
];

const CLIENTS: &[Panel] = &[
    Panel {
        title: "Dropped packets by cause",
        about: "docs/CAUSES.md explains each cause.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "sum by (cause) (rate(backlog_host_drops_total{{host}}[$__rate_interval]))",
            "{{cause}}",
        )],
    },
    Panel {
        title: "Dropped packets by listener",
        about: "Which listener refuses.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "topk(10, sum without (cause) (rate(backlog_drops_total{{host}}[$__rate_interval])))",
            LISTENER,
        )],
    },
    Panel {
        title: "Wait for accept, 99th percentile",
        about: "Interpolated between bounds that are a factor of four apart.",
        kind: Lines,
        unit: Seconds,
        queries: &[query(
            "topk(10, histogram_quantile(0.99, rate(backlog_accept_wait_seconds_bucket{{host}}[$__rate_interval])))",
            LISTENER,
        )],
    },
    Panel {
        title: "Connections per second",
        about: "The ten busiest listeners.",
        kind: Lines,
        unit: PerSecond,
        queries: &[query(
            "topk(10, rate(backlog_connections_queued_total{{host}}[$__rate_interval]))",
            LISTENER,
        )],
    },
];

const TRACER: &[Panel] = &[
    Panel {
        title: "Kernel's counters less what was seen",
        about: "0: every drop is attributed to a listener.",
        kind: Lines,
        unit: Count,
        queries: &[query(
            "backlog_kernel_counter_total{{host}} - backlog_seen_counter_total{{host}}",
            "{{netns}} {{counter}}",
        )],
    },
    Panel {
        title: "Lost events by reason",
        about: "Events that the tracer could not record.",
        kind: Lines,
        unit: Count,
        queries: &[query(
            "sum by (reason) (increase(backlog_tracer_lost_total{{host}}[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "CPU of the tracer",
        about: "In CPUs; the programs in the kernel are not in it.",
        kind: Lines,
        unit: Ratio,
        queries: &[query(
            "rate(process_cpu_seconds_total{{host},job=\"backlog-trace\"}[$__rate_interval])",
            "{{instance}}",
        )],
    },
    Panel {
        title: "Memory of the tracer",
        about: "Resident memory, and what the kernel holds for its programs and maps.",
        kind: Lines,
        unit: Bytes,
        queries: &[
            query(
                "process_resident_memory_bytes{{host},job=\"backlog-trace\"}",
                "resident {{instance}}",
            ),
            query("backlog_tracer_bpf_memory_bytes{{host}}", "{{kind}} {{instance}}"),
        ],
    },
    Panel {
        title: "Listeners by state",
        about: "own: with series; other: beyond --max-listeners; ephemeral, pending, closed.",
        kind: Lines,
        unit: Count,
        queries: &[query("sum by (state) (backlog_tracer_listeners{{host}})", "{{state}}")],
    },
];
