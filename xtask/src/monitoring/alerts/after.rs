//! Alerts on clients that were refused or lost.

use super::case::Subject::{Api, Nameless, Web};
use super::case::{Case, at, fires, series, series_of};
use super::{Alert, Severity};

/// Sorted by how much clients notice.
pub(super) const ALERTS: &[Alert] = &[REFUSING, SYN_QUEUE, LOST, UNBALANCED];

const DROPS: &str = "backlog_drops_total";
const FULL_SYN: &[(&str, &str)] = &[("cause", "accept_queue_full_syn")];
const FULL_ACK: &[(&str, &str)] = &[("cause", "accept_queue_full_ack")];
const ABANDONED: &str = "backlog_connections_abandoned_total";
const QUEUED: &str = "backlog_connections_queued_total";

const REFUSING: Alert = Alert {
    name: "BacklogRefusing",
    severity: Severity::Critical,
    expr: "backlog:refused_packets:increase5m > 0",
    hold: "",
    keep: "",
    summary: "{listener} refuses clients: {value} packets in $5m",
    action: "Clients retry after 1 s or more, or fail. The sizing verdict says whether a larger backlog or more workers help.",
    cases: &[Case {
        name: "a first drop; a first sample above zero; a restart; not a full SYN queue",
        interval: "15s",
        input: &[
            series_of(Web, DROPS, FULL_SYN, "0x19 1x40"),
            series_of(Web, DROPS, FULL_ACK, "0x60"),
            series_of(Api, DROPS, FULL_SYN, "_x20 7x40"),
            series_of(Nameless, DROPS, &[("cause", "syn_queue_full")], "0+5x60"),
        ],
        expect: &[at("4m30s", &[]), at("6m", &[fires(Web, "1"), fires(Api, "7")]), at("14m", &[])],
    }],
};

const SYN_QUEUE: Alert = Alert {
    name: "BacklogSynQueueFull",
    severity: Severity::Warning,
    expr: "backlog:syn_queue_drops:increase5m > 0",
    hold: "",
    keep: "",
    summary: "{listener} drops SYNs because its SYN queue is full: {value} packets in $5m",
    action: "Handshakes do not finish: a SYN flood, lost ACKs, or clients far away. Turn SYN cookies on; raise the backlog if they are clients.",
    cases: &[Case {
        name: "SYNs dropped for a full SYN queue; not for a full accept queue",
        interval: "15s",
        input: &[
            series_of(Web, DROPS, &[("cause", "syn_queue_full")], "_x20 3x40"),
            series_of(Nameless, DROPS, &[("cause", "last_quarter")], "0x19 1x40"),
            series_of(Api, DROPS, FULL_SYN, "0+5x60"),
        ],
        expect: &[
            at("4m30s", &[]),
            at("6m", &[fires(Nameless, "1"), fires(Web, "3")]),
            at("14m", &[]),
        ],
    }],
};

/// Clients may reset or close at any time, and health checks of load balancers do, so only a share
/// of the connections counts. Connections that die with their listener always count, since their
/// handshakes were completed.
const LOST: Alert = Alert {
    name: "BacklogClientsLost",
    severity: Severity::Warning,
    expr: "increase(backlog_connections_abandoned_total{how=\"close\"}[$5m]) > 0
or
(
  rate(backlog_connections_abandoned_total{how=~\"reset|fin\"}[$5m])
  > on (job, instance, netns, address, port, process) group_left ()
  0.05 * rate(backlog_connections_queued_total[$5m])
)",
    hold: "$2m",
    keep: "",
    summary: "Clients of {listener} were connected and lost before accept ({how})",
    action: "fin, reset: clients gave up while they waited, so add workers. close: the server closed its listener with clients in the queue; accept them before a restart.",
    cases: &[Case {
        name: "a tenth resets; a listener closes with clients; not 1 of 100",
        interval: "15s",
        input: &[
            series_of(Web, ABANDONED, &[("how", "reset")], "0+1x60"),
            series_of(Web, ABANDONED, &[("how", "fin")], "0x60"),
            series(Web, QUEUED, "0+10x60"),
            series_of(Api, ABANDONED, &[("how", "close")], "0x20 12x40"),
            series(Api, QUEUED, "0+10x60"),
            series_of(Nameless, ABANDONED, &[("how", "fin")], "0+1x60"),
            series(Nameless, QUEUED, "0+100x60"),
        ],
        expect: &[
            at("1m", &[]),
            at(
                "8m",
                &[
                    super::case::Fired { subject: Web, more: &[("how", "reset")], value: "" },
                    super::case::Fired { subject: Api, more: &[("how", "close")], value: "" },
                ],
            ),
        ],
    }],
};

const UNBALANCED: Alert = Alert {
    name: "BacklogGroupUnbalanced",
    severity: Severity::Warning,
    expr: "backlog_reuseport_group_imbalance_ratio > 2
and backlog_accept_queue_peak_use_ratio >= 0.8",
    hold: "$10m",
    keep: "",
    summary: "One member of the SO_REUSEPORT group {listener} gets {value} times its share and is near full",
    action: "Clients wait at one member while others have room. Restart the worker that is slow, or let all workers share one listener.",
    cases: &[Case {
        name: "three times its share and near full; not balanced, not with room",
        interval: "15s",
        input: &[
            series(Web, "backlog_reuseport_group_imbalance_ratio", "3x80"),
            series(Web, "backlog_accept_queue_peak_use_ratio", "0.9x80"),
            series(Api, "backlog_reuseport_group_imbalance_ratio", "1.2x80"),
            series(Api, "backlog_accept_queue_peak_use_ratio", "0.9x80"),
            series(Nameless, "backlog_reuseport_group_imbalance_ratio", "3x80"),
            series(Nameless, "backlog_accept_queue_peak_use_ratio", "0.2x80"),
        ],
        expect: &[at("5m", &[]), at("15m", &[fires(Web, "3")])],
    }],
};
