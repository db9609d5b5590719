//! Histograms: the depths that arrivals met, the waits, and the use of the limit.

use backlog_core::model::distribution::Bucket;
use backlog_core::model::interval::Waits;
use backlog_core::model::page::PeakUse;
use backlog_core::text::format::{duration, plural};
use maud::{Markup, html};

use super::{Axis, Named, Tick, chart, draw};

const SIZE: (u32, u32) = (340, 190);

/// The maximum number of labels below.
const LABELS: usize = 6;

/// A bar: its meaning in words, and its count.
struct Bar {
    range: String,
    count: u64,
}

/// A histogram.
struct Histogram<'a> {
    named: Named<'a>,
    bars: Vec<Bar>,
    /// The labels of the edges between bars: label `n` is left of bar `n`.
    edges: Vec<String>,
    /// The positions of percentiles, in bars, and their names.
    marks: Vec<(f64, String)>,
    /// The counted objects.
    noun: &'static str,
}

/// The waits and their percentiles.
pub(in super::super) fn waits(id: &str, buckets: &[Bucket], waits: &Waits) -> Markup {
    let first = buckets.first().map_or(0, |bucket| bucket.high.max(1).ilog2());
    let Waits { p50, p90, p99, max } = *waits;
    let places = [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)];
    let marks = places.map(|(name, us)| {
        let place = (us.max(1) as f64).log2() - f64::from(first) + 1.0;
        (place, format!("{name}: {}", duration(us)))
    });
    of_buckets(
        Named {
            id,
            title: "Histogram of accept latency",
            description: &format!(
                "p50 {}, p90 {}, p99 {}, max {}.",
                duration(p50),
                duration(p90),
                duration(p99),
                duration(max)
            ),
        },
        buckets,
        duration,
        "connection",
        marks.to_vec(),
    )
}

/// The depths that arrivals met, including themselves.
pub(in super::super) fn depths(id: &str, buckets: &[Bucket]) -> Markup {
    let most = buckets.last().map_or(0, |bucket| bucket.high);
    of_buckets(
        Named {
            id,
            title: "Histogram of the depth that arrivals met",
            description: &format!("Up to {most}, in powers of two."),
        },
        buckets,
        |value| value.to_string(),
        "connection",
        Vec::new(),
    )
}

/// The peaks of the intervals in percent of the limit.
pub(in super::super) fn peak_use(id: &str, uses: &PeakUse) -> Markup {
    let bars = uses.0.iter().enumerate().map(|(index, count)| Bar {
        range: match index {
            0 => "nothing queued".into(),
            11 => "above 100 %".into(),
            _ => format!("{} to {} %", (index - 1) * 10 + 1, index * 10),
        },
        count: *count,
    });
    // The first bar, nothing queued, has no percentage range.
    let edge = |index: usize| match index {
        1..=11 => format!("{} %", (index - 1) * 10),
        _ => String::new(),
    };
    let above = uses.0[11];
    let histogram = Histogram {
        named: Named {
            id,
            title: "Histogram of the peak use of the limit",
            description: &format!("{} above the limit.", plural(above, "interval")),
        },
        bars: bars.collect(),
        edges: (0..=12).map(edge).collect(),
        marks: Vec::new(),
        noun: "interval",
    };
    histogram.draw()
}

fn of_buckets(
    named: Named<'_>,
    buckets: &[Bucket],
    show: impl Fn(u64) -> String,
    noun: &'static str,
    marks: Vec<(f64, String)>,
) -> Markup {
    let below = |bucket: &Bucket| bucket.low.saturating_sub(1);
    let bars = buckets.iter().map(|bucket| Bar {
        range: format!("{} to {}", show(bucket.low), show(bucket.high)),
        count: bucket.count,
    });
    let lowest = buckets.first().map(|bucket| show(below(bucket)));
    let highs = buckets.iter().map(|bucket| show(bucket.high));
    let edges = lowest.into_iter().chain(highs).collect();
    Histogram { named, bars: bars.collect(), edges, marks, noun }.draw()
}

impl Histogram<'_> {
    fn draw(&self) -> Markup {
        let most = self.bars.iter().map(|bar| bar.count).max().unwrap_or(0);
        let counts = Axis::whole(most, 4);
        let every = self.edges.len().div_ceil(LABELS).max(1);
        let named = self.edges.iter().enumerate().filter(|(_, edge)| !edge.is_empty());
        let ticks = named.step_by(every);
        let ticks = ticks.map(|(index, edge)| Tick { at: index as f64, label: edge.clone() });
        let across = Axis { end: self.bars.len().max(1) as f64, ticks: ticks.collect() };
        draw(&self.named, SIZE, |area| {
            let chart = chart(area, &across, &counts, true)?;
            let (_, bottom) = chart.backend_coord(&(0.0, 0.0));
            let (_, top) = chart.backend_coord(&(0.0, counts.end));
            Ok(html! {
                @for (index, Bar { range, count }) in self.bars.iter().enumerate() {
                    @let (left, y) = chart.backend_coord(&(index as f64, *count as f64));
                    @let (right, _) = chart.backend_coord(&(index as f64 + 1.0, 0.0));
                    // A single one must be visible next to a million.
                    @let y = if *count > 0 { y.min(bottom - 2) } else { bottom };
                    rect.bar x=(left + 1) y=(y) width=((right - left - 2).max(1))
                        height=(bottom - y)
                    { title { (range) ": " (plural(*count, self.noun)) } }
                }
                @for (place, text) in &self.marks {
                    @let (x, _) = chart.backend_coord(&(*place, 0.0));
                    path.mark d={ "M" (x) " " (top) "V" (bottom) } { title { (text) } }
                }
            })
        })
    }
}
