//! Everything that is shown at one moment. A snapshot never changes, so a scrape is consistent and
//! waits for nothing.

use std::sync::Arc;

use super::counts::Counts;
use super::host::{Both, Host};
use super::identity::{clipped, labels};
use super::series::{Gauges, Kind, Series};
use super::window::Highest;
use crate::clock::Clock;
use crate::model::Model;
use crate::run::{Health, Meta};
use crate::settings::Settings;

/// Facts that do not change during the run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `version`, `backend` and `kernel`.
    pub(super) build: String,
    /// The labels of each hook.
    pub(super) hooks: Vec<String>,
    /// The number of hooks that are not attached as planned, and of events that this kernel does
    /// not show.
    pub(super) fallbacks: usize,
    pub(super) gaps: usize,
    interval_s: f64,
}

impl Facts {
    /// The facts of a run with this interval.
    #[must_use]
    pub fn of(meta: &Meta, interval_s: f64) -> Self {
        let build = [
            ("version", meta.version.as_str()),
            ("backend", meta.backend.name()),
            ("kernel", &clipped(&meta.kernel)),
        ];
        let mut hooks: Vec<String> = meta
            .hooks
            .iter()
            .map(|hook| labels([("moment", hook.moment.as_str()), ("how", &clipped(&hook.how))]))
            .collect();
        hooks.sort_unstable();
        hooks.dedup();
        let (fallbacks, gaps) = (meta.reasons.len(), meta.gaps.len());
        Self { build: labels(build), hooks, fallbacks, gaps, interval_s }
    }
}

/// The state of the tracing process; none: unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// CPU time in seconds.
    pub cpu_s: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The limit on open descriptors.
    pub max_fds: Option<u64>,
    /// When it was started, seconds since 1970.
    pub start_s: Option<f64>,
    /// Its threads.
    pub threads: Option<u64>,
}

/// Data points by the result of their pushes (`--otlp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Accepted by the receiver.
    pub accepted: u64,
    /// Rejected by the receiver.
    pub rejected: u64,
    /// Not sent: the receiver was unavailable for too long.
    pub dropped: u64,
    /// Requests that failed and were sent again, or will be.
    pub failures: u64,
}

/// The data of a snapshot, besides the series.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// The state of the run.
    pub model: &'a Model,
    /// Converts monotonic time to wall-clock time.
    pub clock: &'a Clock,
    /// When the last interval ended.
    pub time_ns: u64,
    /// The facts that do not change.
    pub facts: &'a Facts,
    /// The state of the process.
    pub own: Own,
    /// The results of pushes; none if there are no pushes.
    pub pushed: Option<Pushed>,
}

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) series: Vec<Shown>,
    pub(super) host: Counts,
    pub(super) counters: Vec<(String, Both)>,
    pub(super) settings: Vec<(String, Settings)>,
    pub(super) clients_forgotten: u64,
    pub(super) health: Health,
    pub(super) own: Own,
    pub(super) pushed: Option<Pushed>,
    pub(super) facts: Facts,
    pub(super) time_s: f64,
    /// The same time in nanoseconds since 1970.
    pub(super) wall_ns: u64,
    pub(super) interval_s: f64,
    pub(super) listeners: Vec<(&'static str, u64)>,
    pub(super) max_listeners: usize,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) labels: Arc<str>,
    pub(super) info: Option<Arc<str>>,
    pub(super) is_own: bool,
    pub(super) counts: Counts,
    pub(super) members: u64,
    pub(super) gauges: Gauges,
    pub(super) highest: Highest,
    pub(super) imbalance: Option<f64>,
    pub(super) accepted_s: Option<f64>,
}

impl Shown {
    fn of(series: &Series, clock: &Clock) -> Self {
        let accepted_ns = series.gauges.accepted_ns;
        Self {
            labels: Arc::clone(&series.labels),
            info: series.info.clone(),
            is_own: series.kind == Kind::Own,
            counts: series.counts,
            members: series.members,
            gauges: series.gauges.clone(),
            highest: series.highest(),
            imbalance: series.imbalance(),
            accepted_s: (accepted_ns != 0).then(|| wall_s(clock, accepted_ns)),
        }
    }

    /// Whether a connection or a refused packet has ever been counted.
    pub(super) fn is_used(&self) -> bool {
        !self.counts.is_empty()
    }
}

impl Snapshot {
    pub(super) fn of<'a>(
        now: &Now<'_>,
        series: impl Iterator<Item = &'a Series> + Clone,
        host: &Host,
        (pending, max_listeners): (usize, usize),
    ) -> Self {
        let open = |kind: Kind| {
            series.clone().filter(|series| series.kind == kind).map(|series| series.members).sum()
        };
        let closed = series.clone().filter(|series| series.members == 0).count() as u64;
        let listeners = vec![
            ("own", open(Kind::Own)),
            ("ephemeral", open(Kind::Ephemeral)),
            ("other", open(Kind::Other)),
            ("pending", pending as u64),
            ("closed", closed),
        ];
        Self {
            series: series.map(|series| Shown::of(series, now.clock)).collect(),
            host: host.counts,
            counters: host.counters(),
            settings: host.settings(now.model),
            clients_forgotten: host.clients_forgotten,
            health: host.health,
            own: now.own,
            pushed: now.pushed,
            facts: now.facts.clone(),
            time_s: wall_s(now.clock, now.time_ns),
            wall_ns: u64::try_from(now.clock.wall(now.time_ns).as_nanosecond()).unwrap_or(0),
            interval_s: now.facts.interval_s,
            listeners,
            max_listeners,
        }
    }
}

fn wall_s(clock: &Clock, time_ns: u64) -> f64 {
    clock.wall(time_ns).as_millisecond() as f64 / 1000.0
}
