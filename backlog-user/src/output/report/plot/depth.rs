//! The depth of the queue over time, against its limit, with the drops below.

use backlog_core::model::Refusal;
use backlog_core::model::summary::Summary;
use backlog_core::model::timeline::{Span, Timeline};
use backlog_core::text::format::plural;
use maud::{Markup, html};
use plotters::element::{PathElement, Polygon};
use plotters::style::Color as _;

use super::super::context::Run;
use super::{Area, Axis, Chart, Ink, Named, Result, chart, draw};

/// The width in pixels of each plot over time.
pub(super) const WIDTH: u32 = 1000;
/// The height of the depth plot.
const HEIGHT: u32 = 250;
/// The height of the drop bars below.
const LANE: u32 = 84;
/// The number of columns with a tooltip.
const COLUMNS: u64 = 200;
/// A limit this many times the peak would flatten the curve, so the plot then ends at the peak.
const TOO_HIGH: u32 = 5;

/// The plot of one listener.
struct Plot<'a> {
    run: &'a Run<'a>,
    summary: &'a Summary<'a>,
    timeline: &'a Timeline,
    /// The first drop of each run.
    begun: &'a [Refusal],
    columns: Vec<Span>,
    top: u32,
}

/// Draws the plot.
pub(in super::super) fn depth(run: &Run<'_>, summary: &Summary<'_>, timeline: &Timeline) -> Markup {
    let listener = &summary.page.listener;
    let spans = timeline.spans();
    let limit = spans.iter().map(|span| span.limit).fold(listener.limit, u32::max);
    // Not `summary.peak` alone, since the peak of a listener that is always full may be in a span.
    let peak = spans.iter().map(|span| span.peak).fold(summary.peak, u32::max);
    let top = if limit > peak.max(1).saturating_mul(TOO_HIGH) { peak } else { limit.max(peak) };
    let begun = run.annotations.of(listener.id).map_or(&[][..], |moments| &moments.begun);
    let columns = timeline.columns(COLUMNS, run.meta.time_ns, run.end.time_ns);
    let plot = Plot { run, summary, timeline, begun, columns, top };
    let named = Named {
        id: &format!("depth{}", listener.id.0),
        title: &format!("Depth of the accept queue of {} over time", listener.local),
        description: &format!(
            "At most {} of a limit of {}; {} refused in {} of {} intervals that are drawn.",
            summary.peak,
            listener.limit,
            plural(summary.drops, "packet"),
            spans.iter().filter(|span| span.drops > 0).count(),
            spans.len(),
        ),
    };
    let lane = if summary.drops > 0 { LANE } else { 0 };
    draw(&named, (WIDTH, HEIGHT + lane), |area| plot.paint(area, lane > 0))
}

impl Plot<'_> {
    fn paint(&self, area: &Area<'_>, with_drops: bool) -> Result<Markup> {
        let time = Axis::of_time(self.run, 9.0);
        let (upper, lower) = area.split_vertically(HEIGHT);
        let mut depths = chart(&upper, &time, &Axis::whole(u64::from(self.top), 4), !with_drops)?;
        self.curve(&mut depths)?;
        let mut marks = html! {
            text.words x="4" y="12" { "depth" }
            (self.tips(&depths)) (self.limit(&depths)) (self.peak(&depths))
        };
        if with_drops {
            let most = self.columns.iter().map(|span| span.drops).max().unwrap_or(1);
            let drops = chart(&lower, &time, &Axis::whole(most, 1), true)?;
            marks = html! { (marks) (self.bars(&drops)) (self.begun(&depths)) };
        }
        Ok(marks)
    }

    fn x(&self, time_ns: u64) -> f64 {
        self.run.seconds(time_ns).min(self.run.length())
    }

    /// The deepest queue of each interval as an area, and the depth at its end as a line. Between
    /// two spans, nothing was queued.
    fn curve(&self, chart: &mut Chart<'_>) -> Result<()> {
        let mut area: Vec<(f64, f64)> = Vec::new();
        let mut line: Vec<(f64, f64)> = Vec::new();
        let mut last_ns = None;
        for span in self.timeline.spans() {
            let (begin, end) = (self.x(span.begin_ns), self.x(span.end_ns));
            let (peak, depth) = (f64::from(span.peak), f64::from(span.depth));
            if last_ns.is_none_or(|last| last < span.begin_ns) {
                if let Some(last_ns) = last_ns {
                    area.push((self.x(last_ns), 0.0));
                    line.push((self.x(last_ns), 0.0));
                }
                area.push((begin, 0.0));
                line.push((begin, 0.0));
            }
            area.extend([(begin, peak), (end, peak)]);
            line.push((end, depth));
            last_ns = Some(span.end_ns);
        }
        area.extend(last_ns.map(|last| (self.x(last), 0.0)));
        let outline = area.clone();
        chart.draw_series([Polygon::new(area, Ink::Value.color().mix(0.22).filled())])?;
        chart.draw_series([PathElement::new(outline, Ink::Value.line(1))])?;
        chart.draw_series([PathElement::new(line, Ink::Value.line(2))])?;
        Ok(())
    }

    /// The limit at the end of each interval, and its value.
    fn limit(&self, chart: &Chart<'_>) -> Markup {
        let page = self.summary.page;
        let now = page.listener.limit;
        let (right, top) = chart.backend_coord(&(self.run.length(), f64::from(self.top)));
        if now > self.top {
            return html! {
                text.limit x=(right) y=(top - 4) text-anchor="end" {
                    "limit " (now) ": far above this plot"
                }
            };
        }
        let mut points: Vec<(u64, u32)> = Vec::new();
        for span in self.timeline.spans() {
            match points.last() {
                Some((_, limit)) if *limit == span.limit => {}
                None => points.push((page.first_seen_ns, span.limit)),
                // The limit was changed somewhere in this interval.
                Some((_, was)) => {
                    points.extend([(span.begin_ns, *was), (span.begin_ns, span.limit)]);
                }
            }
        }
        let end_ns = page.closed.map_or(self.run.end.time_ns, |(closed_ns, _)| closed_ns);
        points.push((end_ns, points.last().map_or(now, |(_, limit)| *limit)));
        let path: Vec<String> = points
            .into_iter()
            .map(|(time_ns, limit)| {
                let (x, y) = chart.backend_coord(&(self.x(time_ns), f64::from(limit)));
                format!("{x},{y}")
            })
            .collect();
        let (x, y) = chart.backend_coord(&(self.x(end_ns), f64::from(now)));
        html! {
            polyline.limit points=(path.join(" ")) {}
            text.limit x=(x) y=(y - 5) text-anchor="end" { "limit " (now) }
        }
    }

    fn peak(&self, chart: &Chart<'_>) -> Markup {
        let Some(peak_ns) = self.summary.peak_ns else { return html! {} };
        let peak = self.summary.peak;
        let (x, y) = chart.backend_coord(&(self.x(peak_ns), f64::from(peak)));
        let left = self.x(peak_ns) < self.run.length() / 2.0;
        let (anchor, beside) = if left { ("start", x + 8) } else { ("end", x - 8) };
        html! {
            g.peak {
                title { "peak: " (peak) " at " (self.run.time(peak_ns, 6)) }
                circle cx=(x) cy=(y) r="4.5" {}
                text x=(beside) y=(y - 8) text-anchor=(anchor) { "peak " (peak) }
            }
        }
    }

    /// A tooltip for each column.
    fn tips(&self, chart: &Chart<'_>) -> Markup {
        let (top, bottom) = ends(chart);
        html! {
            @for span in &self.columns {
                @let (x, width) = self.place(chart, span);
                rect.tip x=(x) y=(top) width=(width) height=(bottom - top) {
                    title { (self.tell(span)) }
                }
            }
        }
    }

    /// The refused packets in each column.
    fn bars(&self, chart: &Chart<'_>) -> Markup {
        let (top, bottom) = ends(chart);
        html! {
            text.words x="4" y=(i32::midpoint(top, bottom) + 4) { "drops" }
            @for span in self.columns.iter().filter(|span| span.drops > 0) {
                @let (x, width) = self.place(chart, span);
                @let (_, y) = chart.backend_coord(&(0.0, span.drops as f64));
                // A single packet must be visible next to a thousand.
                @let y = y.min(bottom - 2);
                rect.drop x=(x) y=(y) width=(width) height=(bottom - y) {
                    title { (self.tell(span)) }
                }
            }
        }
    }

    /// The exact times at which runs of drops began.
    fn begun(&self, chart: &Chart<'_>) -> Markup {
        let (top, _) = ends(chart);
        html! {
            @for Refusal { time_ns, drop, .. } in self.begun {
                @let (x, _) = chart.backend_coord(&(self.x(*time_ns), 0.0));
                path.drop d={ "M" (x) " " (top + 7) "l-5 -9h10z" } {
                    title {
                        (self.run.time(*time_ns, 6)) " " (drop.cause.name()) " from "
                        (drop.client) " at " (drop.depth) "/" (drop.limit)
                    }
                }
            }
        }
    }

    /// The left and right edge of a column in pixels.
    fn place(&self, chart: &Chart<'_>, span: &Span) -> (i32, i32) {
        let (from, _) = chart.backend_coord(&(self.x(span.begin_ns), 0.0));
        let (to, _) = chart.backend_coord(&(self.x(span.end_ns), 0.0));
        (from, (to - from).max(1))
    }

    fn tell(&self, span: &Span) -> String {
        let Span { begin_ns, end_ns, depth, peak, limit, enqueued, accepted, drops, waits: _ } =
            span;
        format!(
            "{} to {}: at most {peak} of {limit}, {depth} at the end; {enqueued} queued, \
             {accepted} accepted, {drops} refused",
            self.run.time(*begin_ns, 3),
            self.run.time(*end_ns, 3),
        )
    }
}

/// The top and bottom of the chart's area in pixels.
fn ends(chart: &Chart<'_>) -> (i32, i32) {
    let (_, range) = chart.plotting_area().get_pixel_range();
    (range.start, range.end)
}
