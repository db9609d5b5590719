//! The unit tests of the recording rules: input series, and the expected results.

use crate::monitoring::alerts::{Series, Subject, series, series_of};

/// Input series, and what should be recorded after they have existed for more than five minutes.
pub(in crate::monitoring) struct Case {
    pub(in crate::monitoring) name: &'static str,
    pub(in crate::monitoring) interval: &'static str,
    pub(in crate::monitoring) input: &'static [Series],
    pub(in crate::monitoring) time: &'static str,
    pub(in crate::monitoring) expect: &'static [(&'static str, &'static [Recorded])],
}

/// A recorded sample.
pub(in crate::monitoring) struct Recorded {
    pub(in crate::monitoring) subject: Subject,
    /// Further labels.
    pub(in crate::monitoring) more: &'static [(&'static str, &'static str)],
    pub(in crate::monitoring) value: f64,
}

const fn of(subject: Subject, value: f64) -> Recorded {
    Recorded { subject, more: &[], value }
}

const DROPS: &str = "backlog_drops_total";
const USE: &str = "backlog_accept_queue_peak_use_ratio";
const MEMBERS: &str = "backlog_listener_members";
const QUEUED: &str = "backlog_connections_queued_total";
const BUCKET: &str = "backlog_accept_wait_seconds_bucket";
const BUSY: &str = "backlog_accept_queue_busy_seconds_total";
const HOST_DROPS: &str = "backlog_host_drops_total";
const HOST_QUEUED: &str = "backlog_host_connections_queued_total";

/// All cases; a test checks that each rule is in one.
pub(in crate::monitoring) const CASES: &[Case] = &[LISTENERS, SERVICES, HOSTS];

/// A group of two members that is busy half of the time and refuses, and a listener whose first
/// sample already contains refusals.
const LISTENERS: Case = Case {
    name: "a listener: the busy share of a member, slow accepts, refused packets",
    interval: "15s",
    input: &[
        series(Subject::Api, BUSY, "0+7.5x60"),
        series(Subject::Api, MEMBERS, "2x60"),
        series(Subject::Other, BUSY, "0+15x60"),
        series(Subject::Other, MEMBERS, "3x60"),
        series_of(Subject::Api, BUCKET, &[("le", "{timeout}")], "0+7.5x60"),
        series(Subject::Api, "backlog_accept_wait_seconds_count", "0+15x60"),
        series_of(Subject::Api, DROPS, &[("cause", "accept_queue_full_syn")], "0+3x60"),
        series_of(Subject::Api, DROPS, &[("cause", "accept_queue_full_ack")], "0+1x60"),
        series_of(Subject::Api, DROPS, &[("cause", "syn_queue_full")], "0+2x60"),
        series_of(Subject::Web, DROPS, &[("cause", "accept_queue_full_syn")], "_x45 7x15"),
        series_of(Subject::Web, DROPS, &[("cause", "last_quarter")], "_x45 5x15"),
        series_of(Subject::Nameless, DROPS, &[("cause", "accept_queue_full_syn")], "4x60"),
    ],
    time: "12m",
    expect: &[
        ("backlog:accept_queue_busy:ratio_rate5m", &[of(Subject::Api, 0.25)]),
        ("backlog:slow_accepts:ratio_rate5m", &[of(Subject::Api, 0.5)]),
        ("backlog:refused_packets:increase5m", &[of(Subject::Api, 80.0), of(Subject::Web, 7.0)]),
        ("backlog:syn_queue_drops:increase5m", &[of(Subject::Api, 40.0), of(Subject::Web, 5.0)]),
    ],
};

/// One service on two hosts.
const SERVICES: Case = Case {
    name: "a service: the sum over its hosts",
    interval: "15s",
    input: &[
        series(Subject::Api, MEMBERS, "2x60"),
        series(Subject::ApiElsewhere, MEMBERS, "1x60"),
        series(Subject::Api, QUEUED, "0+150x60"),
        series(Subject::ApiElsewhere, QUEUED, "0+75x60"),
        series_of(Subject::Api, DROPS, &[("cause", "accept_queue_full_syn")], "0+15x60"),
        series_of(Subject::ApiElsewhere, DROPS, &[("cause", "accept_queue_full_syn")], "0+30x60"),
        series(Subject::Api, USE, "0.9x60"),
        series(Subject::ApiElsewhere, USE, "0.5x60"),
        series_of(Subject::Api, BUCKET, &[("le", "0.262144")], "0+15x60"),
        series_of(Subject::Api, BUCKET, &[("le", "+Inf")], "0+15x60"),
        series_of(Subject::ApiElsewhere, BUCKET, &[("le", "0.262144")], "0+0x60"),
        series_of(Subject::ApiElsewhere, BUCKET, &[("le", "1.048576")], "0+15x60"),
        series_of(Subject::ApiElsewhere, BUCKET, &[("le", "+Inf")], "0+15x60"),
        series_of(Subject::Api, BUCKET, &[("le", "1.048576")], "0+15x60"),
    ],
    time: "12m",
    expect: &[
        ("service:backlog_listeners:count", &[of(Subject::ApiService, 2.0)]),
        ("service:backlog_connections_queued:rate5m", &[of(Subject::ApiService, 15.0)]),
        (
            "service:backlog_drops:rate5m",
            &[Recorded {
                subject: Subject::ApiService,
                more: &[("cause", "accept_queue_full_syn")],
                value: 3.0,
            }],
        ),
        ("service:backlog_accept_queue_peak_use_ratio:max", &[of(Subject::ApiService, 0.9)]),
        (
            "service:backlog_accept_wait_seconds_bucket:rate5m",
            &[
                in_bucket(&[("le", "0.262144")], 1.0),
                in_bucket(&[("le", "1.048576")], 2.0),
                in_bucket(&[("le", "+Inf")], 2.0),
            ],
        ),
        // At 0.98 of the second bucket: 0.262144 + 0.98 * 0.786432.
        (
            "service:backlog_accept_wait_seconds:p99_rate5m",
            &[of(Subject::ApiService, 1.032_847_36)],
        ),
        ("service:backlog_near_full:count", &[of(Subject::ApiService, 1.0)]),
    ],
};

const fn in_bucket(more: &'static [(&'static str, &'static str)], value: f64) -> Recorded {
    Recorded { subject: Subject::ApiService, more, value }
}

/// A host with two listeners.
const HOSTS: Case = Case {
    name: "a host: the sum over its causes, the highest peak of its listeners",
    interval: "15s",
    input: &[
        series(Subject::Host, HOST_QUEUED, "0+30x60"),
        series_of(Subject::Host, HOST_DROPS, &[("cause", "accept_queue_full_syn")], "0+15x60"),
        series_of(Subject::Host, HOST_DROPS, &[("cause", "expired")], "0+30x60"),
        series(Subject::Api, USE, "0.4x60"),
        series(Subject::Web, USE, "0.7x60"),
    ],
    time: "12m",
    expect: &[
        ("instance:backlog_connections_queued:rate5m", &[of(Subject::Host, 2.0)]),
        ("instance:backlog_drops:rate5m", &[of(Subject::Host, 3.0)]),
        ("instance:backlog_accept_queue_peak_use_ratio:max", &[of(Subject::Host, 0.7)]),
    ],
};
