//! The waits of accepted connections over time, as a heat map: a column for each span, a row for
//! each power of two, more opaque for more connections.

use backlog_core::model::summary::Summary;
use backlog_core::model::timeline::{Span, Timeline};
use backlog_core::text::format::{duration, plural};
use maud::{Markup, html};

use super::super::context::Run;
use super::depth::WIDTH;
use super::{Axis, Chart, Named, chart, draw};

const HEIGHT: u32 = 210;

/// The number of columns: more would be too thin to distinguish.
const COLUMNS: u64 = 120;

/// The weakest opacity that is still visible.
const WEAKEST: f64 = 0.18;

/// Draws the heat map; None if no wait is known.
pub(in super::super) fn heat(
    run: &Run<'_>,
    summary: &Summary<'_>,
    timeline: &Timeline,
) -> Option<Markup> {
    let columns = timeline.columns(COLUMNS, run.meta.time_ns, run.end.time_ns);
    let waits = || columns.iter().flat_map(|span| &span.waits).filter(|(_, count)| *count > 0);
    let power = |high: u64| high.max(1).ilog2();
    let last = waits().map(|(high, _)| power(*high)).max()?;
    // The row of 2^k covers 2^(k-1) to 2^k.
    let first =
        waits().map(|(high, _)| power(*high)).min()?.saturating_sub(1).min(last.saturating_sub(1));
    let most = waits().map(|(_, count)| *count).max()?;
    let listener = &summary.page.listener;
    let named = Named {
        id: &format!("heat{}", listener.id.0),
        title: &format!("Waits for accept at {} over time", listener.local),
        description: &format!(
            "From {} to {}; the strongest cell is {}.",
            duration(1 << first),
            duration(1_u64.checked_shl(last).unwrap_or(u64::MAX)),
            plural(most, "connection"),
        ),
    };
    Some(draw(&named, (WIDTH, HEIGHT), |area| {
        let time = Axis::of_time(run, 9.0);
        let chart = chart(area, &time, &Axis::of_waits(first, last, 6), true)?;
        Ok(html! {
            @for span in &columns { (column(run, &chart, span, first, most)) }
        })
    }))
}

fn column(run: &Run<'_>, chart: &Chart<'_>, span: &Span, first: u32, most: u64) -> Markup {
    let at = |time_ns: u64, power: u32| {
        let seconds = run.seconds(time_ns).min(run.length());
        chart.backend_coord(&(seconds, f64::from(power.saturating_sub(first))))
    };
    let cells = || span.waits.iter().filter(|(_, count)| *count > 0);
    let rows: Vec<String> = cells()
        .rev()
        .map(|(high, count)| format!("{} to {}: {count}", duration(high / 2), duration(*high)))
        .collect();
    html! {
        // One tooltip per column: one per cell would make up most of the page.
        g.heat {
            title {
                (run.time(span.begin_ns, 3)) " to " (run.time(span.end_ns, 3)) ", waited "
                (rows.join(", "))
            }
            @for (high, count) in cells() {
                @let power = high.max(&1).ilog2();
                @let (left, top) = at(span.begin_ns, power);
                @let (right, bottom) = at(span.end_ns, power.saturating_sub(1));
                rect x=(left) y=(top) width=((right - left).max(1)) height=((bottom - top).max(1))
                    opacity=(strength(*count, most)) {}
            }
        }
    }
}

/// The opacity of a cell, on a logarithmic scale, so that one slow connection among a thousand is
/// visible.
fn strength(count: u64, most: u64) -> String {
    let share = (count as f64).ln_1p() / (most.max(1) as f64).ln_1p();
    format!("{:.2}", WEAKEST + (1.0 - WEAKEST) * share)
}

#[cfg(test)]
mod tests {
    use super::strength;

    #[test]
    fn one_among_a_thousand_is_seen() {
        assert_eq!(strength(1000, 1000), "1.00");
        assert!(strength(1, 1_000_000).parse::<f64>().unwrap() > 0.18);
    }
}
