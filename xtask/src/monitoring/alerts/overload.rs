//! Alerts on waits, acceptors and the SYN queue that fire before a client is refused.

use super::case::Subject::{Api, Nameless, Web};
use super::case::{Case, at, fires, series, series_of};
use super::{Alert, Severity};

/// In order from the acceptor to the network. The metrics have no peak of the SYN queue, so cookies
/// are the first sign of its load.
pub(super) const ALERTS: &[Alert] = &[WAITS, STALLED, COOKIES];

const BUCKET: &str = "backlog_accept_wait_seconds_bucket";
const COUNT: &str = "backlog_accept_wait_seconds_count";
const DEPTH: &str = "backlog_accept_queue_connections";
const ACCEPTED: &str = "backlog_connections_accepted_total";
const COOKIES_SENT: &str = "backlog_syn_cookies_sent_total";

/// The share above a bound is exact, whereas a quantile between two bounds is an estimate.
const WAITS: Alert = Alert {
    name: "BacklogWaitsTooLong",
    severity: Severity::Warning,
    expr: "backlog:slow_accepts:ratio_rate5m > 0.01",
    hold: "$5m",
    keep: "",
    summary: "{percent} of the clients of {listener} wait longer than {timeout} s for accept",
    action: "Clients may give up before the server reads their request. Add workers; a larger backlog makes the wait longer.",
    cases: &[Case {
        name: "a tenth waits longer; not 5 of 1,000, not an idle listener",
        interval: "15s",
        input: &[
            series_of(Web, BUCKET, &[("le", "{timeout}")], "0+9x60"),
            series(Web, COUNT, "0+10x60"),
            series_of(Api, BUCKET, &[("le", "{timeout}")], "0+995x60"),
            series(Api, COUNT, "0+1000x60"),
            series_of(Nameless, BUCKET, &[("le", "{timeout}")], "7x60"),
            series(Nameless, COUNT, "9x60"),
        ],
        expect: &[at("4m", &[]), at("12m", &[fires(Web, "10%")])],
    }],
};

/// By counts, since a server that has never accepted has no time of a last accept.
const STALLED: Alert = Alert {
    name: "BacklogAcceptorStalled",
    severity: Severity::Critical,
    expr: "min_over_time(backlog_accept_queue_connections[$2m]) > 0
and increase(backlog_connections_accepted_total[$2m]) == 0",
    hold: "$1m",
    keep: "",
    summary: "{listener} has stopped accepting; at least {value} clients wait",
    action: "No backlog helps. Find out what the acceptor does: backlog-trace on the host names its state and what accept() returned.",
    cases: &[Case {
        name: "waiting clients and no accept, even if it never accepted; not slow, not empty",
        interval: "15s",
        input: &[
            series(Web, DEPTH, "3x40"),
            series(Web, ACCEPTED, "0x40"),
            series(Api, DEPTH, "3+1x40"),
            series(Api, ACCEPTED, "5+1x40"),
            series(Nameless, DEPTH, "0x40"),
            series(Nameless, ACCEPTED, "5x40"),
        ],
        expect: &[at("30s", &[]), at("5m", &[fires(Web, "3")])],
    }],
};

const COOKIES: Alert = Alert {
    name: "BacklogSynCookies",
    severity: Severity::Warning,
    expr: "rate(backlog_syn_cookies_sent_total[$5m]) > 0",
    hold: "$5m",
    keep: "",
    summary: "The SYN queue of {listener} is full: it answers SYNs by cookies",
    action: "Clients still connect, without some TCP options. See whether it is a flood; raise the backlog if it is not.",
    cases: &[Case {
        name: "cookies for minutes; not cookies of yesterday",
        interval: "15s",
        input: &[series(Web, COOKIES_SENT, "0+1x60"), series(Api, COOKIES_SENT, "9x60")],
        expect: &[at("3m", &[]), at("12m", &[fires(Web, "")])],
    }],
};
