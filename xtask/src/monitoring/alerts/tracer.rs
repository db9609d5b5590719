//! Alerts on the tracer, since silence is good news only while it counts everything.

use super::case::Subject::{Host, SecondHost};
use super::case::{Case, Fired, at, fires, series, series_of};
use super::{Alert, Severity};

/// Sorted by how much becomes unknown.
pub(super) const ALERTS: &[Alert] =
    &[DOWN, STUCK, UNRECONCILED, LOST, PUSHES_LOST, DEGRADED, SERIES_CUT];

const KERNEL: &str = "backlog_kernel_counter_total";
const SEEN: &str = "backlog_seen_counter_total";
const LOST_TOTAL: &str = "backlog_tracer_lost_total";
const LISTENERS: &str = "backlog_tracer_listeners";
const DROPS_HERE: &[(&str, &str)] = &[("counter", "ListenDrops"), ("netns", "host")];
const OVERFLOWS_HERE: &[(&str, &str)] = &[("counter", "ListenOverflows"), ("netns", "host")];

const DOWN: Alert = Alert {
    name: "BacklogTracerDown",
    severity: Severity::Warning,
    expr: "up{job=\"backlog-trace\"} == 0",
    hold: "$5m",
    keep: "",
    summary: "No metrics of backlog-trace from {instance}",
    action: "Its queues are unwatched. Read its log: journalctl -u backlog-trace.",
    cases: &[Case {
        name: "down for minutes; not one failed scrape, not a host that answers",
        interval: "15s",
        input: &[series(Host, "up", "1x2 0x60"), series(SecondHost, "up", "1x5 0x1 1x54")],
        expect: &[at("3m", &[]), at("8m", &[fires(Host, "")])],
    }],
};

const STUCK: Alert = Alert {
    name: "BacklogTracerStuck",
    severity: Severity::Warning,
    expr: "time() - backlog_tracer_last_interval_timestamp_seconds > 60",
    hold: "$2m",
    keep: "",
    summary: "backlog-trace on {instance} answers, but its numbers are {duration} old",
    action: "The main loop waits for something. The watchdog of the unit restarts it; report the log if it does not.",
    cases: &[Case {
        name: "numbers of five minutes ago; not fresh ones",
        interval: "15s",
        input: &[
            series(Host, "backlog_tracer_last_interval_timestamp_seconds", "0x40"),
            series(SecondHost, "backlog_tracer_last_interval_timestamp_seconds", "0+15x40"),
        ],
        expect: &[at("2m", &[]), at("5m", &[fires(Host, "5m 0s")])],
    }],
};

/// A packet between the two readings is in only one of the counters until the next interval. So a
/// difference of one does not count, and larger ones must last.
const UNRECONCILED: Alert = Alert {
    name: "BacklogTracerUnreconciled",
    severity: Severity::Warning,
    expr: "abs(
  increase(backlog_kernel_counter_total[$15m]) - increase(backlog_seen_counter_total[$15m])
) > 1",
    hold: "$5m",
    keep: "",
    summary: "{counter} of network namespace {netns} and what backlog-trace saw differ by {value}",
    action: "Some drops are not attributed to a listener. Run backlog-trace doctor on the host, and see the log for what was lost.",
    cases: &[Case {
        name: "half was seen; not all, and not one packet between two readings",
        interval: "15s",
        input: &[
            series_of(Host, KERNEL, DROPS_HERE, "0+2x80"),
            series_of(Host, SEEN, DROPS_HERE, "0+1x80"),
            series_of(Host, KERNEL, OVERFLOWS_HERE, "0+2x80"),
            series_of(Host, SEEN, OVERFLOWS_HERE, "0+2x80"),
            series_of(SecondHost, KERNEL, DROPS_HERE, "5x20 6x60"),
            series_of(SecondHost, SEEN, DROPS_HERE, "5x21 6x59"),
        ],
        expect: &[
            at("1m", &[]),
            at("16m", &[Fired { subject: Host, more: DROPS_HERE, value: "60" }]),
        ],
    }],
};

/// The table of retrying clients is bounded and evicts in a flood; no count depends on it.
const LOST: Alert = Alert {
    name: "BacklogTracerLost",
    severity: Severity::Warning,
    expr: "sum without (reason) (increase(backlog_tracer_lost_total{reason!=\"client_forgotten\"}[$15m])) > 0",
    hold: "",
    keep: "",
    summary: "backlog-trace on {instance} has lost {value} events in $15m",
    action: "Counts stay exact unless no_slot or undecoded rose; single drops or owners are missing. The reason label says what to raise.",
    cases: &[Case {
        name: "five records in a full ring buffer; not losses of yesterday, not clients of a flood",
        interval: "15s",
        input: &[
            series_of(Host, LOST_TOTAL, &[("reason", "ring_full")], "0x40 5x40"),
            series_of(Host, LOST_TOTAL, &[("reason", "no_slot")], "0x80"),
            series_of(SecondHost, LOST_TOTAL, &[("reason", "ring_full")], "9x80"),
            series_of(SecondHost, LOST_TOTAL, &[("reason", "client_forgotten")], "0+9x80"),
        ],
        expect: &[at("9m", &[]), at("12m", &[fires(Host, "5")])],
    }],
};

const POINTS: &str = "backlog_tracer_otlp_points_total";

/// If pushes are lost, this alert must arrive in another way: by a scrape, or by another receiver.
const PUSHES_LOST: Alert = Alert {
    name: "BacklogTracerPushesLost",
    severity: Severity::Warning,
    expr: "sum without (result) (increase(backlog_tracer_otlp_points_total{result!=\"accepted\"}[$15m])) > 0",
    hold: "",
    keep: "",
    summary: "The OTLP receiver of {instance} lacks {value} data points of the last $15m",
    action: "It was away for too long, or refused them. Read the log for its answer: journalctl -u backlog-trace. Counters continue where they were; gauges of that time are gone.",
    cases: &[Case {
        name: "forty were dropped and ten rejected; not points that were accepted",
        interval: "15s",
        input: &[
            series_of(Host, POINTS, &[("result", "dropped")], "0x40 40x40"),
            series_of(Host, POINTS, &[("result", "rejected")], "0x40 10x40"),
            series_of(SecondHost, POINTS, &[("result", "accepted")], "0+100x80"),
            series_of(SecondHost, POINTS, &[("result", "dropped")], "7x80"),
        ],
        expect: &[at("9m", &[]), at("12m", &[fires(Host, "50")])],
    }],
};

const DEGRADED: Alert = Alert {
    name: "BacklogTracerDegraded",
    severity: Severity::Info,
    expr: "backlog_tracer_fallbacks > 0",
    hold: "$15m",
    keep: "",
    summary: "backlog-trace on {instance} is attached in a way that sees less, for {value} reasons",
    action: "backlog-trace doctor says what the kernel refuses. Silence this alert where the kernel permits nothing better.",
    cases: &[Case {
        name: "two fallbacks; not none",
        interval: "1m",
        input: &[
            series(Host, "backlog_tracer_fallbacks", "2x40"),
            series(SecondHost, "backlog_tracer_fallbacks", "0x40"),
        ],
        expect: &[at("10m", &[]), at("20m", &[fires(Host, "2")])],
    }],
};

const SERIES_CUT: Alert = Alert {
    name: "BacklogTracerSeriesCut",
    severity: Severity::Info,
    expr: "backlog_tracer_listeners{state=\"other\"} > 0",
    hold: "$1h",
    keep: "",
    summary: "{value} listeners of {instance} have no series of their own",
    action: "They are summed as port=\"other\". Raise --max-listeners, or select listeners by a filter.",
    cases: &[Case {
        name: "for an hour; not for a moment",
        interval: "15s",
        input: &[
            series_of(Host, LISTENERS, &[("state", "other")], "12x300"),
            series_of(SecondHost, LISTENERS, &[("state", "other")], "12x20 0x280"),
        ],
        expect: &[
            at("30m", &[]),
            at("65m", &[Fired { subject: Host, more: &[("state", "other")], value: "12" }]),
        ],
    }],
};
