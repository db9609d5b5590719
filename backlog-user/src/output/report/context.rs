//! The data that every part of the page needs.

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::model::summary::Summary;
use backlog_core::run::{End, Meta};
use backlog_core::text::format::clock_time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::annotations::Annotations;

/// The run that the page shows.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) clock: &'a Clock,
    pub(super) meta: &'a Meta,
    pub(super) model: &'a Model,
    pub(super) summaries: &'a [Summary<'a>],
    pub(super) end: &'a End,
    pub(super) annotations: &'a Annotations,
}

impl Run<'_> {
    /// For example `21:04:05.123456`, for a monotonic time.
    pub(super) fn time(&self, time_ns: u64, digits: usize) -> String {
        clock_time(self.zone, self.clock.wall(time_ns), digits)
    }

    /// The time as a machine-readable element.
    pub(super) fn moment(&self, time_ns: u64) -> Markup {
        let wall = self.clock.wall(time_ns);
        html! { time datetime=(format!("{wall:.6}")) { (clock_time(self.zone, wall, 6)) } }
    }

    /// For example `2026-11-28 21:04:05`.
    pub(super) fn day_and_time(&self, wall: Timestamp) -> String {
        let day = self.zone.to_datetime(wall).date();
        format!("{day} {}", clock_time(self.zone, wall, 0))
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self, time_ns: u64) -> f64 {
        time_ns.saturating_sub(self.meta.time_ns) as f64 / 1e9
    }

    /// The length of the run in seconds.
    pub(super) fn length(&self) -> f64 {
        // A run that ended at once is drawn with a length of a millisecond.
        self.seconds(self.end.time_ns).max(0.001)
    }
}
