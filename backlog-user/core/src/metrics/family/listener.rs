//! The metrics of each listener.

use backlog_ebpf::cause::Cause;

use super::{Family, Kind, Write};
use crate::metrics::counts::{BOUNDS, Counted};
use crate::metrics::samples::{Samples, Value};
use crate::metrics::snapshot::{Shown, Snapshot};

/// Causes that are shown from the start, so that an alert sees the first packet as an increase.
pub(super) const FROM_THE_START: [Cause; 2] =
    [Cause::AcceptQueueFullSyn, Cause::AcceptQueueFullAck];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static str,
    help: &'static str,
    write: Write,
) -> Family {
    Family { name, kind, labels, help, of_listener: true, write }
}

const fn gauge(name: &'static str, help: &'static str, write: Write) -> Family {
    family(name, Kind::Gauge, "", help, write)
}

const fn counter(name: &'static str, help: &'static str, write: Write) -> Family {
    family(name, Kind::Counter, "", help, write)
}

/// Adds a value of each series.
fn each<V: Into<Value>>(from: &Snapshot, to: &mut Samples<'_>, value: fn(&Shown) -> V) {
    for series in &from.series {
        to.add(&series.labels, value(series));
    }
}

/// Adds a count of each series that has been used.
fn used(from: &Snapshot, to: &mut Samples<'_>, which: Counted) {
    for series in from.series.iter().filter(|series| series.is_used()) {
        to.add(&series.labels, series.counts.get(which));
    }
}

/// Adds a value of each listener that has its own series, if it is known.
fn own<V: Into<Value>>(from: &Snapshot, to: &mut Samples<'_>, value: fn(&Shown) -> Option<V>) {
    for series in from.series.iter().filter(|series| series.is_own) {
        to.add_known(&series.labels, value(series));
    }
}

/// Like [`own`], only for series that have been used.
fn own_used<V: Into<Value>>(from: &Snapshot, to: &mut Samples<'_>, value: fn(&Shown) -> Option<V>) {
    for series in from.series.iter().filter(|series| series.is_own && series.is_used()) {
        to.add_known(&series.labels, value(series));
    }
}

/// See the module documentation.
pub(super) static ALL: [Family; 22] = [
    family(
        "backlog_listener",
        Kind::Info,
        "`family`, `unit`, `container`, `pod_uid`, `runtime`, `user`, `cgroup`",
        "What describes a listener and may change; empty: not known or none.",
        |from, to| {
            for series in &from.series {
                if let Some(info) = &series.info {
                    to.add(info, 1_u64);
                }
            }
        },
    ),
    gauge(
        "backlog_listener_members",
        "Open sockets behind the series; 0 while it is kept after the close of the last one.",
        |from, to| each(from, to, |series| series.members),
    ),
    gauge(
        "backlog_listener_clamped",
        "1: net.core.somaxconn granted less than listen() requested; absent: not known what was \
         requested.",
        |from, to| own(from, to, |series| series.gauges.clamped.map(u64::from)),
    ),
    gauge(
        "backlog_listener_requested_connections",
        "Backlog that listen() requested, +Inf for a negative one; absent: not known.",
        |from, to| own(from, to, |series| series.gauges.requested),
    ),
    gauge(
        "backlog_accept_queue_connections",
        "Connections in the accept queue at the end of the last interval.",
        |from, to| each(from, to, |series| series.gauges.depth),
    ),
    gauge(
        "backlog_accept_queue_limit_connections",
        "Granted backlog. The queue is full when it is longer than this.",
        |from, to| own(from, to, |series| Some(series.gauges.limit)),
    ),
    gauge(
        "backlog_accept_queue_peak_connections",
        "Deepest accept queue in the peak window.",
        |from, to| own_used(from, to, |series| Some(series.highest.depth)),
    ),
    gauge(
        "backlog_accept_queue_peak_use_ratio",
        "Deepest accept queue in the peak window by its limit; full is above 1. Of several members \
         the highest.",
        |from, to| own_used(from, to, |series| Some(series.highest.use_ratio)),
    ),
    counter(
        "backlog_accept_queue_busy_seconds",
        "Time during which the accept queue was not empty, summed over the members.",
        |from, to| {
            for series in from.series.iter().filter(|series| series.is_used()) {
                to.add(&series.labels, series.counts.get(Counted::BusyNs) as f64 / 1e9);
            }
        },
    ),
    counter("backlog_connections_queued", "Connections added to the accept queue.", |from, to| {
        used(from, to, Counted::Queued);
    }),
    counter("backlog_connections_accepted", "Connections taken by accept().", |from, to| {
        used(from, to, Counted::Accepted);
    }),
    counter(
        "backlog_connections_untimed",
        "Accepted connections without a wait in the histogram: they were queued before the start, \
         or their enqueue was not seen.",
        |from, to| used(from, to, Counted::Untimed),
    ),
    family(
        "backlog_connections_abandoned",
        Kind::Counter,
        "`how`: `reset`, `fin`, `close`",
        "Connections that their client had reset or ended before accept(), or that died with their \
         listener.",
        |from, to| {
            for series in from.series.iter().filter(|series| series.is_used()) {
                for (how, which) in
                    [("reset", Counted::Reset), ("fin", Counted::Fin), ("close", Counted::Close)]
                {
                    to.add_with(&series.labels, ("how", how), series.counts.get(which));
                }
            }
        },
    ),
    family(
        "backlog_drops",
        Kind::Counter,
        "`cause` (docs/CAUSES.md)",
        "Packets refused. A full accept queue is shown from the start, other causes from their \
         first packet on.",
        |from, to| {
            for series in &from.series {
                for (cause, drops) in Cause::ALL.into_iter().zip(series.counts.drops()) {
                    if *drops > 0 || FROM_THE_START.contains(&cause) {
                        to.add_with(&series.labels, ("cause", cause.name()), *drops);
                    }
                }
            }
        },
    ),
    counter(
        "backlog_clients_refused",
        "Connection attempts that were refused at least once, among the drops with a record of \
         their own.",
        |from, to| used(from, to, Counted::Clients),
    ),
    family(
        "backlog_accept_wait_seconds",
        Kind::Histogram,
        "`le`",
        "Wait from the enqueue to accept(). Counts are exact; the sum is estimated from buckets of \
         a 32nd and off by 1.6 % at most.",
        wait,
    ),
    gauge(
        "backlog_last_accept_timestamp_seconds",
        "When a connection was accepted last; absent: never since the start.",
        |from, to| own(from, to, |series| series.accepted_s),
    ),
    gauge(
        "backlog_syn_queue_limit_requests",
        "What bounds the SYN queue: the granted backlog, with tcp_syncookies=0 also \
         tcp_max_syn_backlog.",
        |from, to| own_used(from, to, |series| Some(series.gauges.syn_limit)),
    ),
    counter(
        "backlog_syn_cookies_sent",
        "SYNs answered by a cookie because the SYN queue was full; absent with tcp_syncookies=2.",
        |from, to| {
            for series in from.series.iter().filter(|series| series.is_used()) {
                if !series.gauges.cookies_always {
                    to.add(&series.labels, series.counts.get(Counted::Cookies));
                }
            }
        },
    ),
    family(
        "backlog_sizing_verdict",
        Kind::Gauge,
        "`verdict`, `confidence` (docs/SIZING.md)",
        "1 for the current verdict on the backlog, over all that was seen of the open sockets.",
        |from, to| {
            for series in from.series.iter().filter(|series| series.is_own && series.is_used()) {
                if let Some(sized) = &series.gauges.sized {
                    let labels = format!("{},verdict=\"{}\"", series.labels, sized.verdict.name());
                    to.add_with(&labels, ("confidence", sized.confidence.name()), 1_u64);
                }
            }
        },
    ),
    gauge(
        "backlog_sizing_recommended_connections",
        "Backlog to pass to listen(); absent: no other one is recommended.",
        |from, to| {
            own_used(from, to, |series| series.gauges.sized?.backlog.map(u64::from));
        },
    ),
    gauge(
        "backlog_reuseport_group_imbalance_ratio",
        "Connections of the busiest member of a SO_REUSEPORT group by the mean of the open members; \
         absent: no group.",
        |from, to| own(from, to, |series| series.imbalance),
    ),
];

fn wait(from: &Snapshot, to: &mut Samples<'_>) {
    for series in from.series.iter().filter(|series| series.is_used()) {
        let Shown { labels, counts, .. } = series;
        for (bound, count) in BOUNDS.into_iter().zip(counts.buckets()) {
            to.add_part("_bucket", labels, Some(bound), *count);
        }
        let all = counts.get(Counted::Waits);
        to.add_part("_bucket", labels, Some("+Inf"), all);
        // The sum is kept in half microseconds.
        to.add_part("_sum", labels, None, counts.get(Counted::WaitSum) as f64 / 2e6);
        to.add_part("_count", labels, None, all);
    }
}
