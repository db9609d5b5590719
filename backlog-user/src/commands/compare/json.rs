//! The comparison as JSON lines: docs/JSON.md. docs/schema.json and the tables of docs/JSON.md are
//! generated from these types and their doc comments.

use anyhow::Result;
use backlog_core::compare::words::{conclusion, name};
use backlog_core::compare::{Change, Pair, Place, Run, pairs, per_second};
use backlog_core::model::interval::Waits;
use backlog_core::model::sizing::{Confidence, Verdict};
use serde::Serialize;

use super::Recorded;
use crate::output::json::values::{self, Named, Time};

/// One line of a comparison. The doc comment of a variant says when it is printed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// First: both recordings.
    Compare(CompareLine<'a>),
    /// Each address, those with the most refused packets first.
    Address(Box<AddressLine<'a>>),
}

/// `compare`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CompareLine<'a> {
    /// The version of backlog-trace.
    version: &'static str,
    /// The first recording.
    before: Recording<'a>,
    /// The second one.
    after: Recording<'a>,
}

/// A recording that is compared.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Recording<'a> {
    /// Its file.
    file: &'a str,
    /// The host. Null: not known.
    host: Option<&'a str>,
    /// The kernel, as `uname -r` prints it.
    kernel: &'a str,
    /// When tracing began.
    began: Time,
    /// How long the run lasted, seconds.
    elapsed_s: f64,
    /// The recording has no end: the run was killed, or the file is cut off.
    cut_off: bool,
    /// Listeners that had closed and are in no line.
    evicted: u64,
}

/// `address`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AddressLine<'a> {
    /// What the second run shows of refusals: `none_in_either`, `gone`, `too_short`, `fewer`,
    /// `as_many`, `more`, `new`, `only_before` or `only_after`.
    change: &'static str,
    /// The episodes of refusals that the second run would have had, if they were as frequent among
    /// its clients as in the first. Null: nobody was refused in the first, or it is not in both.
    expected_episodes: Option<f64>,
    /// The second run had clearly fewer connections per second.
    lower_load: bool,
    /// The same in a sentence.
    text: String,
    /// In the first run. Null: nothing happened there.
    before: Option<Side<'a>>,
    /// In the second. Null: nothing happened there.
    after: Option<Side<'a>>,
}

/// The listeners of one run at an address.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Side<'a> {
    /// The address.
    addr: String,
    /// The port.
    port: u16,
    /// The name of the network namespace. Null: the host's, or it has none.
    netns_name: Option<&'a str>,
    /// How many listeners shared the address or followed each other.
    listeners: u64,
    /// The smallest limit.
    limit_low: u32,
    /// The largest limit.
    limit_high: u32,
    /// Connections added to the accept queues.
    enqueued: u64,
    /// The same per second. Null: the run has no length.
    enqueued_per_s: Option<f64>,
    /// Connections accepted.
    accepted: u64,
    /// Refused packets.
    drops: u64,
    /// Clients refused at least once.
    clients: u64,
    /// False: there may be more clients.
    every_client: bool,
    /// The part of the clients that was refused at least once. Null: none came.
    #[cfg_attr(test, schemars(range(min = 0)))]
    refused_share: Option<f64>,
    /// Refused clients that gave up.
    gave_up: u64,
    /// Refused clients that were reset.
    reset: u64,
    /// Refused clients that may still have been trying at the end.
    trying: u64,
    /// Refused clients whose outcome is unknown.
    unknown: u64,
    /// Episodes of refusals.
    episodes: u64,
    /// The deepest queue, in terms of its limit.
    peak: u32,
    /// The limit of that queue.
    peak_limit: u32,
    /// Half of the accepted connections waited no longer, microseconds. Null: none was timed.
    wait_p50_us: Option<u64>,
    /// 99 of 100 waited no longer, microseconds. Null: none was timed.
    wait_p99_us: Option<u64>,
    /// The longest wait, microseconds. Null: none was timed.
    wait_max_us: Option<u64>,
    /// The verdict on the listener with the most trouble.
    verdict: Named<Verdict>,
    /// How much it rests on.
    confidence: Named<Confidence>,
    /// Its reasons, in sentences.
    why: &'a str,
}

/// All lines.
pub(super) fn render(before: &Recorded, after: &Recorded) -> Result<String> {
    let mut out = Vec::new();
    let head = CompareLine {
        version: env!("CARGO_PKG_VERSION"),
        before: Recording::of(before),
        after: Recording::of(after),
    };
    values::write(&mut out, &Line::Compare(head))?;
    for pair in pairs(&before.run, &after.run) {
        let line = AddressLine::of(&pair, &before.run, &after.run);
        values::write(&mut out, &Line::Address(Box::new(line)))?;
    }
    Ok(String::from_utf8(out)?)
}

impl<'a> Recording<'a> {
    fn of(one: &'a Recorded) -> Self {
        Self {
            file: &one.file,
            host: one.meta.host.as_deref(),
            kernel: &one.meta.kernel,
            began: one.began.into(),
            elapsed_s: one.run.elapsed_ns as f64 / 1e9,
            cut_off: one.cut_off,
            evicted: one.run.evicted,
        }
    }
}

impl<'a> AddressLine<'a> {
    fn of(pair: &Pair<'a>, before: &Run, after: &Run) -> Self {
        let change: Change = pair.change();
        Self {
            change: name(change),
            expected_episodes: pair.expected_episodes(),
            lower_load: pair.lower_load(before, after).is_some(),
            text: conclusion(pair, before, after),
            before: pair.before.map(|place| Side::of(place, before)),
            after: pair.after.map(|place| Side::of(place, after)),
        }
    }
}

impl<'a> Side<'a> {
    fn of(place: &'a Place, run: &Run) -> Self {
        let waits = Waits::of(&place.wait);
        let (verdict, confidence, why) = &place.verdict;
        Self {
            addr: place.local.ip().to_string(),
            port: place.local.port(),
            netns_name: place.netns.as_deref(),
            listeners: place.listeners,
            limit_low: place.limits.0,
            limit_high: place.limits.1,
            enqueued: place.enqueued,
            enqueued_per_s: per_second(place.enqueued, run.elapsed_ns),
            accepted: place.accepted,
            drops: place.drops,
            clients: place.clients,
            every_client: place.every_client,
            refused_share: place.refused_share(),
            gave_up: place.unadmitted.gave_up,
            reset: place.unadmitted.reset,
            trying: place.unadmitted.trying,
            unknown: place.unadmitted.unknown,
            episodes: place.episodes,
            peak: place.peak.0,
            peak_limit: place.peak.1,
            wait_p50_us: waits.map(|waits| waits.p50),
            wait_p99_us: waits.map(|waits| waits.p99),
            wait_max_us: waits.map(|waits| waits.max),
            verdict: Named(*verdict),
            confidence: Named(*confidence),
            why,
        }
    }
}
