//! The details of one listener that the screen shows: its owner, the history of its queue, and the
//! distributions of depths and waits. They are copied from the model, which has computed them.

use backlog_core::event::ListenerId;
use backlog_core::model::Model;
use backlog_core::model::distribution::Bucket;
use backlog_core::model::interval::Waits;
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;

use crate::output::about;

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    /// The listener; None if none is selected.
    pub(crate) id: Option<ListenerId>,
    /// The address that it is bound to.
    pub(crate) address: String,
    /// The granted backlog.
    pub(crate) limit: u32,
    /// The current depth.
    pub(crate) depth: u32,
    /// The deepest queue.
    pub(crate) peak: u32,
    /// It has closed.
    pub(crate) closed: bool,
    /// Lines about it, the most important first.
    pub(crate) about: Vec<String>,
    /// The history of the queue; None if it was not kept.
    pub(crate) points: Option<Vec<Point>>,
    /// The depths that arrivals met, and their percentiles.
    pub(crate) depths: (Vec<Bucket>, Option<Waits>),
    /// The waits of accepted connections in microseconds, and their percentiles.
    pub(crate) waits: (Vec<Bucket>, Option<Waits>),
}

/// An interval with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Begin and end, in monotonic nanoseconds.
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    /// The depth at the end, and the deepest one within.
    pub(crate) depth: u32,
    pub(crate) peak: u32,
    /// The limit at the end.
    pub(crate) limit: u32,
    /// Refused packets.
    pub(crate) drops: u64,
}

impl Detail {
    /// Copies the current details of a listener.
    pub(crate) fn of(model: &Model, page: &Page) -> Self {
        let summary = Summary::of(page);
        let points = page.timeline.as_ref().map(|timeline| {
            let point = |span: &backlog_core::model::timeline::Span| Point {
                begin_ns: span.begin_ns,
                end_ns: span.end_ns,
                depth: span.depth,
                peak: span.peak,
                limit: span.limit,
                drops: span.drops,
            };
            timeline.spans().iter().map(point).collect()
        });
        // Without any activity, there is no history yet.
        let points = points.or_else(|| model.has_room().then(Vec::new));
        Self {
            id: Some(page.listener.id),
            address: page.name(),
            limit: page.listener.limit,
            depth: page.depth(),
            peak: summary.peak,
            closed: page.closed.is_some(),
            about: about::lines(model, &summary, &model.sizing(page, model.ticked_ns())),
            points,
            depths: (page.depth.buckets(), Waits::of(&page.depth)),
            waits: (page.wait.buckets(), Waits::of(&page.wait)),
        }
    }
}
