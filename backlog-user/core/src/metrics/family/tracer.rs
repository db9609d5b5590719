//! The metrics of the host, its network namespaces, and the tracer.

use backlog_ebpf::cause::Cause;

use super::listener::FROM_THE_START;
use super::{Family, Kind, Write};
use crate::metrics::counts::Counted;
use crate::metrics::host::Both;
use crate::metrics::samples::Samples;
use crate::metrics::snapshot::Snapshot;
use crate::settings::Settings;

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static str,
    help: &'static str,
    write: Write,
) -> Family {
    Family { name, kind, labels, help, of_listener: false, write }
}

const fn gauge(name: &'static str, labels: &'static str, help: &'static str, to: Write) -> Family {
    family(name, Kind::Gauge, labels, help, to)
}

const fn counter(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    to: Write,
) -> Family {
    family(name, Kind::Counter, labels, help, to)
}

fn counters(from: &Snapshot, to: &mut Samples<'_>, value: fn(&Both) -> u64) {
    from.counters.iter().for_each(|(labels, both)| to.add(labels, value(both)));
}

fn settings(from: &Snapshot, to: &mut Samples<'_>, value: fn(&Settings) -> Option<u32>) {
    for (labels, settings) in &from.settings {
        to.add_known(labels, value(settings).map(u64::from));
    }
}

/// See the module documentation.
pub(super) static ALL: [Family; 28] = [
    family(
        "backlog_host_drops",
        Kind::Counter,
        "`cause`",
        "Packets refused at all listeners since the start, whether or not they are shown.",
        |from, to| {
            for (cause, drops) in Cause::ALL.into_iter().zip(from.host.drops()) {
                if *drops > 0 || FROM_THE_START.contains(&cause) {
                    to.add_with("", ("cause", cause.name()), *drops);
                }
            }
        },
    ),
    family(
        "backlog_host_connections_queued",
        Kind::Counter,
        "",
        "Connections added to the accept queues of all listeners since the start, whether or not \
         they are shown.",
        |from, to| to.add("", from.host.get(Counted::Queued)),
    ),
    counter(
        "backlog_kernel_counter",
        "`netns`, `counter`",
        "The kernel's own counters of a network namespace since the start, as in \
         /proc/net/netstat.",
        |from, to| counters(from, to, |both| both.kernel),
    ),
    counter(
        "backlog_seen_counter",
        "`netns`, `counter`",
        "What was seen of them. A lasting difference means that something was missed.",
        |from, to| counters(from, to, |both| both.seen),
    ),
    gauge("backlog_netns_somaxconn_connections", "`netns`", "net.core.somaxconn.", |from, to| {
        settings(from, to, |set| set.somaxconn);
    }),
    gauge(
        "backlog_netns_tcp_max_syn_backlog_requests",
        "`netns`",
        "net.ipv4.tcp_max_syn_backlog.",
        |from, to| settings(from, to, |set| set.tcp_max_syn_backlog),
    ),
    gauge("backlog_netns_syncookies", "`netns`", "net.ipv4.tcp_syncookies.", |from, to| {
        settings(from, to, |set| set.syncookies.map(u32::from));
    }),
    gauge(
        "backlog_netns_abort_on_overflow",
        "`netns`",
        "net.ipv4.tcp_abort_on_overflow.",
        |from, to| settings(from, to, |set| set.abort_on_overflow.map(u32::from)),
    ),
    family(
        "backlog_tracer_build",
        Kind::Info,
        "`version`, `backend`, `kernel`",
        "What traces, how it is attached, and the kernel.",
        |from, to| to.add(&from.facts.build, 1_u64),
    ),
    family(
        "backlog_tracer_hook",
        Kind::Info,
        "`moment`, `how`",
        "The functions and tracepoints that programs are attached to.",
        |from, to| from.facts.hooks.iter().for_each(|hook| to.add(hook, 1_u64)),
    ),
    gauge(
        "backlog_tracer_fallbacks",
        "",
        "Reasons why a better backend or hook is not used; 0: all is as planned. The log names \
         them.",
        |from, to| to.add("", from.facts.fallbacks as u64),
    ),
    gauge(
        "backlog_tracer_gaps",
        "",
        "Kinds of events that cannot be seen on this kernel. The log names them.",
        |from, to| to.add("", from.facts.gaps as u64),
    ),
    gauge(
        "backlog_tracer_last_interval_timestamp_seconds",
        "",
        "When the last interval ended: the time of all that is shown.",
        |from, to| to.add("", from.time_s),
    ),
    gauge(
        "backlog_tracer_interval_seconds",
        "",
        "Length of an interval, as configured.",
        |from, to| to.add("", from.interval_s),
    ),
    gauge(
        "backlog_tracer_listeners",
        "`state`: `own`, `ephemeral`, `other`, `pending`, `closed`",
        "Open listeners by the series that they are in, those that are too young for one, and \
         series that are kept after the close.",
        |from, to| {
            for (state, count) in &from.listeners {
                to.add_with("", ("state", state), *count);
            }
        },
    ),
    gauge(
        "backlog_tracer_series_limit_listeners",
        "",
        "Listeners that may have series of their own (--max-listeners).",
        |from, to| to.add("", from.max_listeners as u64),
    ),
    counter("backlog_tracer_lost", "`reason`", "Events that were not seen or not kept.", lost),
    counter(
        "backlog_tracer_owner_looks",
        "",
        "Scans of all processes for the holders of listeners.",
        |from, to| to.add("", from.health.looks.count),
    ),
    counter("backlog_tracer_owner_look_seconds", "", "Time that these took.", |from, to| {
        to.add("", from.health.looks.elapsed.as_secs_f64());
    }),
    gauge(
        "backlog_tracer_bpf_memory_bytes",
        "`kind`: `maps`, `programs`",
        "Kernel memory of the eBPF maps and programs.",
        |from, to| {
            let health = &from.health;
            for (kind, bytes) in [("maps", health.maps_bytes), ("programs", health.programs_bytes)]
            {
                if let Some(bytes) = bytes {
                    to.add_with("", ("kind", kind), bytes);
                }
            }
        },
    ),
    counter(
        "backlog_tracer_otlp_points",
        "`result`: `accepted`, `rejected`, `dropped`",
        "Data points by what became of their push (--otlp): taken by the receiver, not taken by \
         it, or dropped since it was away for too long; absent: nothing is pushed.",
        |from, to| {
            if let Some(pushed) = &from.pushed {
                for (result, points) in [
                    ("accepted", pushed.accepted),
                    ("rejected", pushed.rejected),
                    ("dropped", pushed.dropped),
                ] {
                    to.add_with("", ("result", result), points);
                }
            }
        },
    ),
    counter(
        "backlog_tracer_otlp_failures",
        "",
        "Pushes that failed; each is tried again until its points are dropped.",
        |from, to| to.add_known("", from.pushed.map(|pushed| pushed.failures)),
    ),
    counter("process_cpu_seconds", "", "CPU time of the tracer.", |from, to| {
        to.add_known("", from.own.cpu_s);
    }),
    gauge("process_resident_memory_bytes", "", "Resident memory of the tracer.", |from, to| {
        to.add_known("", from.own.resident_bytes);
    }),
    gauge("process_open_fds", "", "Open file descriptors of the tracer.", |from, to| {
        to.add_known("", from.own.open_fds);
    }),
    gauge("process_max_fds", "", "The most that it may open.", |from, to| {
        to.add_known("", from.own.max_fds);
    }),
    gauge("process_start_time_seconds", "", "When the tracer was started.", |from, to| {
        to.add_known("", from.own.start_s);
    }),
    gauge("process_threads", "", "Threads of the tracer.", |from, to| {
        to.add_known("", from.own.threads);
    }),
];

fn lost(from: &Snapshot, to: &mut Samples<'_>) {
    let (health, stray) = (&from.health, &from.health.stray);
    let forgotten = from.clients_forgotten + from.host.get(Counted::ClientForgotten);
    for (reason, count) in [
        ("ring_full", Some(from.host.get(Counted::RingFull))),
        ("no_slot", Some(stray.no_slot)),
        ("at_closed", Some(stray.closed)),
        ("accept_without_listener", Some(stray.accepts)),
        ("drop_without_listener", Some(stray.drops)),
        ("undecoded", Some(health.decode_errors)),
        ("missed_by_program", health.missed),
        ("client_forgotten", Some(forgotten)),
    ] {
        if let Some(count) = count {
            to.add_with("", ("reason", reason), count);
        }
    }
}
