//! What the screen shows of one listener, taken out of its page: whose it is, how its queue
//! went, how depths and waits are distributed. The page has computed it; nothing here does.

use backlog_core::event::ListenerId;
use backlog_core::model::Model;
use backlog_core::model::distribution::Bucket;
use backlog_core::model::interval::Waits;
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;

use crate::output::about;

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    /// Whose; none: of nobody.
    pub(crate) id: Option<ListenerId>,
    /// What it is bound to.
    pub(crate) address: String,
    /// The granted backlog.
    pub(crate) limit: u32,
    /// Depth at the last look.
    pub(crate) depth: u32,
    /// The deepest queue.
    pub(crate) peak: u32,
    /// It is no longer there.
    pub(crate) closed: bool,
    /// Lines about it, the most important first.
    pub(crate) about: Vec<String>,
    /// How the queue went; none: nobody kept it.
    pub(crate) points: Option<Vec<Point>>,
    /// The depths that arrivals met, and their percentiles.
    pub(crate) depths: (Vec<Bucket>, Option<Waits>),
    /// The waits of those accepted, microseconds, and their percentiles.
    pub(crate) waits: (Vec<Bucket>, Option<Waits>),
}

/// An interval with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// When it began and ended, monotonic nanoseconds.
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    /// Depth at the end, and the deepest in between.
    pub(crate) depth: u32,
    pub(crate) peak: u32,
    /// The limit at the end.
    pub(crate) limit: u32,
    /// Refused packets.
    pub(crate) drops: u64,
}

impl Detail {
    /// The details of a page as it is now.
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
        // Nothing has happened there yet.
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
