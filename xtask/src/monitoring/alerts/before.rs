//! Alerts on the accept queue that fire before a client is refused.

use super::case::Subject::{Api, Nameless, Other, Web};
use super::case::{Case, at, fires, series};
use super::{Alert, Severity};

/// In the order in which they fire when load rises.
pub(super) const ALERTS: &[Alert] = &[NEAR_FULL, FULL_SOON, SATURATED, CLAMPED];

const USE: &str = "backlog_accept_queue_peak_use_ratio";
const LIMIT: &str = "backlog_accept_queue_limit_connections";
const MEMBERS: &str = "backlog_listener_members";
const BUSY: &str = "backlog_accept_queue_busy_seconds_total";

/// A burst stays in the peak for a minute, so six of twenty samples are three bursts, or a single
/// long one. With a limit below 8, a handful of clients is near full; `BacklogRefusing` covers
/// that.
const NEAR_FULL: Alert = Alert {
    name: "BacklogNearFull",
    severity: Severity::Warning,
    expr: "max_over_time(backlog_accept_queue_peak_use_ratio[$5m]) >= 0.8
and count_over_time((backlog_accept_queue_peak_use_ratio >= 0.8)[$10m:$30s]) >= 6
and backlog_accept_queue_limit_connections >= 8",
    hold: "",
    keep: "$15m",
    summary: "The accept queue of {listener} peaks at {percent} of its limit",
    action: "Nobody has been refused for this yet. Raise the backlog or accept faster: the sizing verdict says which.",
    cases: &[
        Case {
            name: "peaks of 90 % for minutes; not a small limit, not one burst, not a low peak",
            interval: "15s",
            input: &[
                series(Web, USE, "0.9x60"),
                series(Web, LIMIT, "128x60"),
                series(Nameless, USE, "1x60"),
                series(Nameless, LIMIT, "2x60"),
                series(Api, USE, "0.1x3 0.9x3 0.1x53"),
                series(Api, LIMIT, "128x60"),
            ],
            expect: &[at("2m", &[]), at("10m", &[fires(Web, "90%")])],
        },
        Case {
            name: "a listener that is at 79 % for an hour is not near full",
            interval: "1m",
            input: &[series(Web, USE, "0.79x60"), series(Web, LIMIT, "128x60")],
            expect: &[at("59m", &[])],
        },
        Case {
            name: "it stays for a quarter of an hour after the last peak, then ends",
            interval: "15s",
            input: &[series(Web, USE, "0.9x40 0.1x120"), series(Web, LIMIT, "128x160")],
            expect: &[at("18m", &[fires(Web, "90%")]), at("38m", &[])],
        },
    ],
};

/// The slope of the last ten minutes, extrapolated by ten minutes, and a queue that is half full
/// already: a daily rise of a few per cent an hour should not page anyone.
const FULL_SOON: Alert = Alert {
    name: "BacklogFullSoon",
    severity: Severity::Critical,
    expr: "predict_linear(backlog_accept_queue_peak_use_ratio[$10m], #10m) > 1
and deriv(backlog_accept_queue_peak_use_ratio[$10m]) > 0
and backlog_accept_queue_peak_use_ratio >= 0.5
and count_over_time(backlog_accept_queue_peak_use_ratio[$10m]) >= 8
and backlog_accept_queue_limit_connections >= 8",
    hold: "$1m",
    keep: "",
    summary: "The accept queue of {listener} will be full within $10m at this rate",
    action: "Act before it refuses: add workers or shed load; a larger backlog only postpones it.",
    cases: &[
        Case {
            name: "a rise of 5 % a minute; not a level, and not a fall",
            interval: "15s",
            input: &[
                series(Web, USE, "0.2+0.0125x100"),
                series(Web, LIMIT, "128x100"),
                series(Api, USE, "0.6x100"),
                series(Api, LIMIT, "128x100"),
                series(Nameless, USE, "0.95-0.005x100"),
                series(Nameless, LIMIT, "128x100"),
            ],
            expect: &[at("5m", &[]), at("9m", &[fires(Web, "")])],
        },
        Case {
            name: "1 % in five minutes is the rise of an ordinary day",
            interval: "1m",
            input: &[series(Web, USE, "0.6+0.002x60"), series(Web, LIMIT, "128x60")],
            expect: &[at("30m", &[])],
        },
    ],
};

const SATURATED: Alert = Alert {
    name: "BacklogAcceptorSaturated",
    severity: Severity::Warning,
    expr: "backlog:accept_queue_busy:ratio_rate5m > 0.95",
    hold: "$10m",
    keep: "",
    summary: "The accept queue of {listener} is never empty",
    action: "Clients come as fast as they are accepted. Add workers; a larger backlog only makes clients wait longer.",
    cases: &[Case {
        name: "never empty; not half of the time at each of four members, not a sum of listeners",
        interval: "15s",
        input: &[
            series(Web, BUSY, "0+15x100"),
            series(Web, MEMBERS, "1x100"),
            series(Api, BUSY, "0+28x100"),
            series(Api, MEMBERS, "4x100"),
            series(Other, BUSY, "0+90x100"),
            series(Other, MEMBERS, "9x100"),
        ],
        expect: &[at("5m", &[]), at("16m", &[fires(Web, "")])],
    }],
};

const CLAMPED: Alert = Alert {
    name: "BacklogClamped",
    severity: Severity::Info,
    expr: "backlog_listener_clamped == 1
and max_over_time(backlog_accept_queue_peak_use_ratio[$1h]) >= 0.5",
    hold: "$15m",
    keep: "",
    summary: "net.core.somaxconn cuts the backlog of {listener}, and it uses more than half of the rest",
    action: "Raise net.core.somaxconn in its network namespace, then restart the server: the limit is fixed at listen().",
    cases: &[Case {
        name: "clamped and used; not clamped and idle, not used and unclamped",
        interval: "1m",
        input: &[
            series(Web, "backlog_listener_clamped", "1x40"),
            series(Web, USE, "0.6x40"),
            series(Api, "backlog_listener_clamped", "1x40"),
            series(Api, USE, "0.01x40"),
            series(Nameless, "backlog_listener_clamped", "0x40"),
            series(Nameless, USE, "0.7x40"),
        ],
        expect: &[at("10m", &[]), at("20m", &[fires(Web, "")])],
    }],
};
