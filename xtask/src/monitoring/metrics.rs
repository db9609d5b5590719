//! The metrics of `backlog-trace serve` that rules and dashboards may use: one row per metric, with
//! its labels in addition to those of its listener. A test compares the rows with what serve
//! exports, and another one checks that queries only use these metrics.

/// The subject of a metric, which determines its common labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    /// `netns`, `address`, `port`, `process`.
    Listener,
    /// `netns`.
    Namespace,
    /// No labels.
    Host,
}

/// One metric.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) of: Of,
    /// Further labels.
    pub(crate) labels: &'static [&'static str],
}

const fn listener(name: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, of: Of::Listener, labels }
}

const fn namespace(name: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, of: Of::Namespace, labels }
}

const fn host(name: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, of: Of::Host, labels }
}

/// The upper bounds of the wait histogram in seconds, as in the label `le`: 64 µs × 4^k, each an
/// exact bucket bound of the eBPF programs.
pub(crate) const WAIT_BOUNDS: [&str; 10] = [
    "6.4e-05",
    "0.000256",
    "0.001024",
    "0.004096",
    "0.016384",
    "0.065536",
    "0.262144",
    "1.048576",
    "4.194304",
    "16.777216",
];

/// All metrics.
pub(crate) const METRICS: &[Metric] = &[
    listener(
        "backlog_listener_info",
        &["family", "unit", "container", "pod_uid", "runtime", "user", "cgroup"],
    ),
    listener("backlog_listener_members", &[]),
    listener("backlog_listener_clamped", &[]),
    listener("backlog_listener_requested_connections", &[]),
    listener("backlog_accept_queue_connections", &[]),
    listener("backlog_accept_queue_limit_connections", &[]),
    listener("backlog_accept_queue_peak_connections", &[]),
    listener("backlog_accept_queue_peak_use_ratio", &[]),
    listener("backlog_accept_queue_busy_seconds_total", &[]),
    listener("backlog_connections_queued_total", &[]),
    listener("backlog_connections_accepted_total", &[]),
    listener("backlog_connections_untimed_total", &[]),
    listener("backlog_connections_abandoned_total", &["how"]),
    listener("backlog_drops_total", &["cause"]),
    listener("backlog_clients_refused_total", &[]),
    listener("backlog_accept_wait_seconds_bucket", &["le"]),
    listener("backlog_accept_wait_seconds_sum", &[]),
    listener("backlog_accept_wait_seconds_count", &[]),
    listener("backlog_last_accept_timestamp_seconds", &[]),
    listener("backlog_syn_queue_limit_requests", &[]),
    listener("backlog_syn_cookies_sent_total", &[]),
    listener("backlog_sizing_verdict", &["verdict", "confidence"]),
    listener("backlog_sizing_recommended_connections", &[]),
    listener("backlog_reuseport_group_imbalance_ratio", &[]),
    host("backlog_host_drops_total", &["cause"]),
    host("backlog_host_connections_queued_total", &[]),
    namespace("backlog_kernel_counter_total", &["counter"]),
    namespace("backlog_seen_counter_total", &["counter"]),
    namespace("backlog_netns_somaxconn_connections", &[]),
    namespace("backlog_netns_tcp_max_syn_backlog_requests", &[]),
    namespace("backlog_netns_syncookies", &[]),
    namespace("backlog_netns_abort_on_overflow", &[]),
    host("backlog_tracer_build_info", &["version", "backend", "kernel"]),
    host("backlog_tracer_hook_info", &["moment", "how"]),
    host("backlog_tracer_fallbacks", &[]),
    host("backlog_tracer_gaps", &[]),
    host("backlog_tracer_last_interval_timestamp_seconds", &[]),
    host("backlog_tracer_interval_seconds", &[]),
    host("backlog_tracer_listeners", &["state"]),
    host("backlog_tracer_series_limit_listeners", &[]),
    host("backlog_tracer_lost_total", &["reason"]),
    host("backlog_tracer_owner_looks_total", &[]),
    host("backlog_tracer_owner_look_seconds_total", &[]),
    host("backlog_tracer_bpf_memory_bytes", &["kind"]),
    host("backlog_tracer_otlp_points_total", &["result"]),
    host("backlog_tracer_otlp_failures_total", &[]),
    host("process_cpu_seconds_total", &[]),
    host("process_resident_memory_bytes", &[]),
    host("process_open_fds", &[]),
    host("process_max_fds", &[]),
    host("process_start_time_seconds", &[]),
    host("process_threads", &[]),
];
