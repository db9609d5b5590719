//! What the screen shows of one listener, taken out of its page: whose it is, how its queue
//! went, how depths and waits are distributed. The page has computed it; nothing here does.

use backlog_core::event::{Listener, ListenerId};
use backlog_core::model::Model;
use backlog_core::model::distribution::Bucket;
use backlog_core::model::interval::Waits;
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;
use backlog_core::text::format::plural;
use backlog_core::text::{acceptor, owner_text};
use backlog_ebpf::cause::Cause;

use crate::output::{advice, workers};

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
            about: about(model, &summary),
            points,
            depths: (page.depth.buckets(), Waits::of(&page.depth)),
            waits: (page.wait.buckets(), Waits::of(&page.wait)),
        }
    }
}

fn about(model: &Model, summary: &Summary<'_>) -> Vec<String> {
    let page = summary.page;
    let mut lines = vec![owner(&page.listener)];
    let sizing = model.sizing(page, model.ticked_ns());
    if summary.drops > 0 || sizing.verdict.is_trouble() {
        lines.insert(0, format!("{}: {}", sizing.verdict.name(), owner_text::safe(&sizing.why)));
    }
    if let Some(acceptor) = page.episodes.kept().last().and_then(|last| last.acceptor.as_deref()) {
        lines.push(acceptor::sentence(acceptor));
    }
    if let Some(idle) = page.idle.as_deref() {
        lines.push(acceptor::sentence(idle));
    }
    if let Some(workers) = workers::sentence(page) {
        lines.push(format!("accepted by {workers}"));
    }
    if let Some(failed) = page.accept_errors.sentence() {
        lines.push(owner_text::safe(&failed));
    }
    if summary.drops > 0 {
        // Whose packet is only counted may be another client.
        let least = if page.totals.records_suppressed > 0 { "at least " } else { "" };
        let causes: Vec<String> = Cause::ALL
            .iter()
            .map(|cause| (cause.name(), page.totals.drops[*cause as usize]))
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        lines.push(format!(
            "refused {} of {least}{}: {}",
            plural(summary.drops, "packet"),
            plural(page.clients, "client"),
            causes.join(", "),
        ));
        lines.extend(advice::clients(model, page, model.ticked_ns()));
    }
    lines.push(format!(
        "{} queued, {} accepted, {} in the queue",
        plural(page.totals.enqueued, "connection"),
        page.totals.accepted,
        page.depth(),
    ));
    lines
}

/// Who holds it, where it lives, and what was asked for it.
fn owner(listener: &Listener) -> String {
    let process = owner_text::process(listener).unwrap_or_else(|| "owner unknown".into());
    let mut words = vec![process.clone()];
    if let Some(owner) = &listener.identity.owner {
        words.extend(owner_text::home(owner));
    }
    if let Some(netns) = listener.identity.netns.as_deref().filter(|name| *name != "host") {
        words.push(format!("namespace {}", owner_text::safe(netns)));
    }
    let call = listener.call.as_ref();
    words.push(match call.and_then(|call| Some((call, call.asked?))) {
        Some((call, asked)) => {
            let cut = owner_text::cut(call, listener.limit);
            let cut = cut.unwrap_or_else(|| format!("requested {asked}"));
            // Mostly who holds it is who has asked.
            cut.strip_prefix(&process).map_or(cut.clone(), |rest| rest.trim_start().to_owned())
        }
        None => "requested: unknown".into(),
    });
    words.join(", ")
}
