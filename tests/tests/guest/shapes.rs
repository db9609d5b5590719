//! The loads whose recommendations are tested: the shapes of the experiment.

/// A shape of load.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) backlog: u32,
    pub(crate) workers: u32,
    /// The number of 20 runs that must be right.
    pub(crate) of_twenty: u32,
    pub(crate) expected: Expected,
    /// The options of the load in this run; each run differs slightly.
    pub(crate) options: fn(u32) -> String,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Expected {
    /// A larger queue is enough.
    Raise,
    /// No queue is large enough.
    AddWorkers,
    /// The backlog is large enough.
    Fits,
    /// No backlog helps, since nobody accepts any more.
    AcceptorStalled,
    /// One member of a group is slow.
    Unbalanced,
}

impl Expected {
    pub(crate) fn verdict(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::AddWorkers => "add_workers",
            Self::Fits => "fits",
            Self::AcceptorStalled => "acceptor_stalled",
            Self::Unbalanced => "unbalanced",
        }
    }
}

/// Clients that do not wait for each other, and give up.
const CLIENTS: &str = "--connect nonblocking --connect-timeout 2500ms";

pub(crate) const ONE_BURST: Shape = shape("one burst", Expected::Raise, |run| {
    let size = 100 + 10 * run;
    format!("--count {size} --burst {size} --rate {size} --accept-delay 3ms {CLIENTS}")
});

pub(crate) const TWICE_AS_MANY: Shape =
    shape("accepts at 0.5 of the arrivals", Expected::AddWorkers, |_| at_rate(200));

pub(crate) static SHAPES: [Shape; 17] = [
    ONE_BURST,
    shape("bursts, one a second", Expected::Raise, |run| {
        let (size, all) = (60 + 5 * run, 3 * (60 + 5 * run));
        format!("--count {all} --burst {size} --rate {size} --accept-delay 3ms {CLIENTS}")
    }),
    shape("a stalled acceptor", Expected::Raise, |run| {
        let rate = 100 + 5 * run;
        format!("--duration 5s --rate {rate} --stall-every 2s --stall-for 700ms {CLIENTS}")
    }),
    Shape {
        backlog: 32,
        ..shape("many clients with retries", Expected::Raise, |run| {
            let size = 200 + 20 * run;
            format!(
                "--count {size} --burst {size} --rate {size} --accept-delay 5ms \
                 --connect nonblocking --connect-timeout 8s"
            )
        })
    },
    Shape {
        backlog: 4,
        ..shape("Poisson, workers at 0.8 of their rate", Expected::Raise, |run| {
            let seed = 1 + run;
            format!("--duration 12s --rate 80 --poisson {seed} --accept-delay 9ms {CLIENTS}")
        })
    },
    TWICE_AS_MANY,
    shape("accepts at 0.8 of the arrivals", Expected::AddWorkers, |_| at_rate(125)),
    shape("accepts at 1.2 of the arrivals", Expected::Fits, |_| at_rate(75)),
    shape("accepts at 1.5 of the arrivals", Expected::Fits, |_| at_rate(60)),
    shape("an acceptor that stops for good", Expected::AcceptorStalled, |run| {
        let stop = 60 + 5 * run;
        format!("--duration 6s --rate 60 --accept-delay 2ms --stop-after {stop} {CLIENTS}")
    }),
    shape("accept fails with EMFILE", Expected::AcceptorStalled, |run| {
        let exhaust = 60 + 5 * run;
        format!("--duration 6s --rate 60 --accept-delay 2ms --exhaust-after {exhaust} {CLIENTS}")
    }),
    Shape {
        backlog: 4096,
        workers: 4,
        ..shape("a backlog too large for its clients", Expected::AddWorkers, |run| {
            let rate = 70 + run;
            format!("--duration 15s --rate {rate} --accept-delay 100ms --hold 2s {CLIENTS}")
        })
    },
    Shape {
        workers: 4,
        ..shape("a SO_REUSEPORT group with one slow member", Expected::Unbalanced, |run| {
            let rate = 120 + 4 * run;
            format!(
                "--duration 8s --rate {rate} --reuseport --accept-delay 1ms --stall-every 2s \
                 --stall-for 1500ms --stall-thread 0 {CLIENTS}"
            )
        })
    },
    Shape {
        backlog: 4,
        of_twenty: 18,
        ..shape("Poisson, exponential service at 0.8", Expected::Raise, |run| {
            let seed = 1 + run;
            format!(
                "--duration 12s --rate 80 --poisson {seed} --accept-delay 9ms --delay-seed {seed} \
                 {CLIENTS}"
            )
        })
    },
    Shape {
        backlog: 32,
        ..shape("far clients, no SYN cookies", Expected::Raise, |run| far(run, 0))
    },
    Shape { backlog: 32, ..shape("far clients, SYN cookies", Expected::Raise, |run| far(run, 1)) },
    Shape {
        workers: 4,
        ..shape("a pre-fork server too slow", Expected::AddWorkers, |run| {
            let rate = 80 + run;
            format!("--prefork --duration 8s --rate {rate} --accept-delay 100ms {CLIENTS}")
        })
    },
];

/// Bursts of clients with a round trip of 100 ms, to a server that accepts immediately: the SYN
/// queue fills up.
fn far(run: u32, cookies: u32) -> String {
    let (size, all) = (60 + 2 * run, 8 * (60 + 2 * run));
    let rate = f64::from(size) / 0.7;
    format!(
        "--round-trip 100ms --syncookies {cookies} --count {all} --burst {size} --rate {rate:.1} \
         {CLIENTS}"
    )
}

/// A shape with one worker and a small backlog.
const fn shape(name: &'static str, expected: Expected, options: fn(u32) -> String) -> Shape {
    Shape { name, backlog: 16, workers: 1, of_twenty: 19, expected, options }
}

fn at_rate(rate: u32) -> String {
    format!("--duration 8s --rate {rate} --accept-delay 10ms {CLIENTS}")
}

/// Everyone connects while the acceptor is stalled, so the needed depth does not depend on the
/// speed of clients or acceptor.
pub(crate) const BURST_IN_A_STALL: Shape = shape("a burst in a stall", Expected::Raise, |_| {
    let stall = "--stall 2s --stall-after 3";
    // They stay until they are accepted: a client that closes during a stall looks impatient.
    format!("--count 100 --burst 100 --rate 100 --accept-delay 1ms --hold 3s {stall} {CLIENTS}")
});

/// Few arrivals, with an acceptor at 0.4 of their rate: if the machine stands still for two
/// seconds, this does not fill the recommended queue.
pub(crate) const FEW_BUT_TOO_MANY: Shape = Shape {
    backlog: 32,
    ..shape("accepts at 0.4 of few arrivals", Expected::AddWorkers, |_| {
        format!("--duration 10s --rate 12 --accept-delay 200ms {CLIENTS}")
    })
};
