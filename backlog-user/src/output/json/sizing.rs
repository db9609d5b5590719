//! The verdict on a listener.

use backlog_core::clock::Clock;
use backlog_core::model::sizing::{self, Confidence, Cookies, Verdict};
use serde::Serialize;

use super::values::{Named, Time};

/// The verdict on a listener (docs/SIZING.md). What does not apply is null.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Sizing {
    /// What to do.
    verdict: Named<Verdict>,
    /// How much the verdict rests on.
    confidence: Named<Confidence>,
    /// The backlog to pass to `listen()`.
    backlog: Option<u32>,
    /// What `net.core.somaxconn` must be raised to, if it is less now.
    somaxconn: Option<u32>,
    /// The smallest limit that would have refused nobody.
    smallest_limit: Option<u32>,
    /// The largest backlog whose last client is accepted before it gives up.
    largest_backlog: Option<u32>,
    /// How much of the limit was never used, percent.
    headroom_percent: Option<u32>,
    /// How deep a queue without a limit would have become.
    needed_depth: Option<u64>,
    /// How long the SYN queue would have become with room for all.
    needed_syn_queue: Option<u64>,
    /// What SYN cookies look like that were sent because the SYN queue was full.
    cookies: Option<Named<Cookies>>,
    /// How long the last connection in that queue would have waited, microseconds.
    wait_us: Option<u64>,
    /// Kernel memory of that queue when full, without MPTCP and without data, bytes.
    memory_bytes: Option<u64>,
    /// Accepts per second while the queue grew.
    accept_rate: Option<f64>,
    /// Accepts per second that were needed then.
    needed_rate: Option<f64>,
    /// `needed_rate` divided by `accept_rate`, rounded up to tenths, at least 1.1.
    times_present_rate: Option<f64>,
    /// When that queue began to grow; of `acceptor_stalled`, since when nobody accepted.
    since: Option<Time>,
    /// How long it grew, or nobody accepted, microseconds.
    lasted_us: Option<u64>,
    /// Who must call `listen()` again.
    restart: Option<String>,
    /// How many of the refused clients are only estimated.
    estimated_clients: u64,
    /// The reasons, in sentences.
    why: String,
}

impl Sizing {
    /// Converts a verdict to its JSON form.
    pub(super) fn of(clock: &Clock, sizing: sizing::Sizing) -> Self {
        Self {
            verdict: Named(sizing.verdict),
            confidence: Named(sizing.confidence),
            backlog: sizing.backlog,
            somaxconn: sizing.somaxconn,
            smallest_limit: sizing.smallest_limit,
            largest_backlog: sizing.largest_backlog,
            headroom_percent: sizing.headroom_percent,
            needed_depth: sizing.needed_depth,
            needed_syn_queue: sizing.needed_syn_queue,
            cookies: sizing.cookies.map(Named),
            wait_us: sizing.wait_ns.map(|wait_ns| wait_ns / 1000),
            memory_bytes: sizing.memory_bytes,
            accept_rate: sizing.accept_rate,
            needed_rate: sizing.needed_rate,
            times_present_rate: sizing.times,
            since: sizing.since_ns.map(|since_ns| Time::of(clock, since_ns)),
            lasted_us: sizing.lasted_ns.map(|lasted_ns| lasted_ns / 1000),
            restart: sizing.restart,
            estimated_clients: sizing.estimated_clients,
            why: sizing.why,
        }
    }
}
