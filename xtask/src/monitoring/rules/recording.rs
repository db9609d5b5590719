//! The recording rules: series that alerts share, and sums by service and host, so that a dashboard
//! of thousands of hosts reads tens of series instead of hundreds of thousands.

/// Rules that are evaluated together.
pub(super) struct Group {
    pub(super) name: &'static str,
    /// The interval; None for the interval of Prometheus.
    pub(super) interval: Option<&'static str>,
    /// The names of the recorded series, and their expressions.
    pub(super) rules: &'static [(&'static str, &'static str)],
}

/// All groups. The series `service:` drop the labels that differ between the hosts of a service,
/// and keep labels such as `cluster` or `team` that targets may have.
pub(super) const GROUPS: [Group; 3] = [
    Group { name: "backlog-listener", interval: None, rules: LISTENER },
    Group { name: "backlog-service", interval: Some("$1m"), rules: SERVICE },
    Group { name: "backlog-instance", interval: Some("$1m"), rules: INSTANCE },
];

/// Busy time is summed over the members of a `SO_REUSEPORT` group; for a sum of different
/// listeners, a busy share makes no sense. Refused packets are filtered before they are summed,
/// since nearly all listeners have none. `increase()` does not see a counter whose first sample is
/// above zero, as that of a listener that is shown because it refused; the second half of
/// `refused_packets` counts that sample.
const LISTENER: &[(&str, &str)] = &[
    (
        "backlog:accept_queue_busy:ratio_rate5m",
        "rate(backlog_accept_queue_busy_seconds_total{port!~\"ephemeral|other\"}[$5m])
/ (backlog_listener_members > 0)",
    ),
    (
        "backlog:slow_accepts:ratio_rate5m",
        "1 - rate(backlog_accept_wait_seconds_bucket{le=\"{timeout}\"}[$5m])
/ ignoring (le) rate(backlog_accept_wait_seconds_count[$5m])",
    ),
    (
        "backlog:refused_packets:increase5m",
        "sum without (cause) (increase(backlog_drops_total{cause=~\"accept_queue_full_.+\"}[$5m]) > 0)
or
sum without (cause) (
  backlog_drops_total{cause=~\"accept_queue_full_.+\"} > 0
  unless
  backlog_drops_total{cause=~\"accept_queue_full_.+\"} offset $5m
)",
    ),
    (
        "backlog:syn_queue_drops:increase5m",
        "sum without (cause) (increase(backlog_drops_total{cause=~\"syn_queue_full|last_quarter\"}[$5m]) > 0)
or
sum without (cause) (
  backlog_drops_total{cause=~\"syn_queue_full|last_quarter\"} > 0
  unless
  backlog_drops_total{cause=~\"syn_queue_full|last_quarter\"} offset $5m
)",
    ),
];

const SERVICE: &[(&str, &str)] = &[
    (
        "service:backlog_listeners:count",
        "count without (instance, node, pod, netns, address) (backlog_listener_members)",
    ),
    (
        "service:backlog_connections_queued:rate5m",
        "sum without (instance, node, pod, netns, address) (rate(backlog_connections_queued_total[$5m]))",
    ),
    (
        "service:backlog_drops:rate5m",
        "sum without (instance, node, pod, netns, address) (rate(backlog_drops_total[$5m]))",
    ),
    (
        "service:backlog_accept_queue_peak_use_ratio:max",
        "max without (instance, node, pod, netns, address) (backlog_accept_queue_peak_use_ratio)",
    ),
    (
        "service:backlog_accept_wait_seconds_bucket:rate5m",
        "sum without (instance, node, pod, netns, address) (rate(backlog_accept_wait_seconds_bucket[$5m]))",
    ),
    (
        "service:backlog_accept_wait_seconds:p99_rate5m",
        "histogram_quantile(0.99, service:backlog_accept_wait_seconds_bucket:rate5m)",
    ),
    (
        "service:backlog_near_full:count",
        "count without (instance, node, pod, netns, address) (backlog_accept_queue_peak_use_ratio >= 0.8)",
    ),
];

const INSTANCE: &[(&str, &str)] = &[
    (
        "instance:backlog_connections_queued:rate5m",
        "rate(backlog_host_connections_queued_total[$5m])",
    ),
    ("instance:backlog_drops:rate5m", "sum without (cause) (rate(backlog_host_drops_total[$5m]))"),
    (
        "instance:backlog_accept_queue_peak_use_ratio:max",
        "max without (netns, address, port, process) (backlog_accept_queue_peak_use_ratio)",
    ),
];
