//! The selected queue over time, against its limit: a solid bar for the depth at the end of a span,
//! a lighter one for the deepest in it, and a mark above for each time with a drop. Only a queue
//! above its limit crosses the line of the limit.

use backlog_core::text::format::percent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::detail::{Detail, Point};
use super::super::state::{Pane, State};
use super::super::theme::Theme;
use super::text::{put, put_right, title};

/// The width of the numbers next to the plot, and its axis.
const AXIS: u16 = 7;

/// The data of one column of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Column {
    depth: u32,
    peak: u32,
    /// None: unknown, so the current limit applies.
    limit: Option<u32>,
    drops: bool,
}

/// Draws the plot, below this many lines about the listener.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme, lines: usize) {
    let detail = &state.detail;
    let (from_ns, to_ns, name) = state.window();
    let focused = state.zoomed && state.pane == Pane::Listeners;
    let mut area = title(buffer, area, &heading(detail), focused, theme);
    for line in detail.about.iter().take(lines) {
        let end = put(buffer, (area.x, area.y), area.right(), line, Style::new());
        if end == area.right() && line.chars().count() > usize::from(area.width) {
            // Mark a cut line, since its last number may lack digits.
            put(buffer, (end - 1, area.y), end, "~", theme.title(false));
        }
        area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    }
    let Some(points) = &detail.points else {
        let why = match detail.id {
            None => "no listener is selected",
            Some(_) => "too many listeners: no history is kept for this queue",
        };
        put(buffer, (area.x, area.y), area.right(), why, theme.aside());
        return;
    };
    if area.height < 4 || area.width <= AXIS + 1 {
        return;
    }
    let width = usize::from(area.width - AXIS);
    let drops = state.data().drops.iter().filter(|drop| Some(drop.listener) == detail.id);
    let moments: Vec<u64> = drops.map(|drop| drop.time_ns).collect();
    let columns = columns(points, &moments, (from_ns, to_ns), width);
    let plot = Rect { y: area.y + 1, height: area.height - 2, x: area.x + AXIS, ..area };
    let scale = Scale::of(&columns, detail.limit, usize::from(plot.height), state.by_peak);
    marks(buffer, Rect { height: 1, ..area }, &columns, theme);
    for (x, column) in (plot.x..area.right()).zip(&columns) {
        bar(buffer, plot, x, column, detail.limit, scale, theme);
    }
    axis(buffer, plot, detail.limit, scale, theme);
    let y = area.bottom() - 1;
    put(buffer, (plot.x, y), area.right(), &format!("{name} before"), theme.aside());
    put_right(
        buffer,
        area.right(),
        y,
        if state.paused() { "paused" } else { "now" },
        theme.aside(),
    );
}

fn heading(detail: &Detail) -> String {
    let Detail { address, limit, depth, peak, closed, .. } = detail;
    if detail.id.is_none() {
        return "Depth".into();
    }
    let percent = percent(*peak, *limit);
    let closed = if *closed { ", closed" } else { "" };
    format!("{address}{closed}: depth {depth}, limit {limit}, peak {peak} ({percent} %)")
}

/// Sorts the points and drops into columns.
fn columns(
    points: &[Point],
    moments: &[u64],
    (from_ns, to_ns): (u64, u64),
    width: usize,
) -> Vec<Column> {
    let mut columns = vec![Column::default(); width];
    let length = u128::from(to_ns.saturating_sub(from_ns).max(1));
    let place = |time_ns: u64| {
        let part = u128::from(time_ns.saturating_sub(from_ns)) * width as u128 / length;
        usize::try_from(part).unwrap_or(usize::MAX).min(width.saturating_sub(1))
    };
    for point in points.iter().filter(|point| point.end_ns > from_ns && point.begin_ns < to_ns) {
        let (first, last) = (place(point.begin_ns), place(point.end_ns - 1));
        let known = moments.iter().any(|time| (point.begin_ns..=point.end_ns).contains(time));
        for column in columns.iter_mut().take(last + 1).skip(first) {
            column.depth = point.depth;
            column.peak = column.peak.max(point.peak);
            column.limit = Some(point.limit);
            // If no exact time is known (drops were only counted, or are long past), mark the whole
            // interval.
            column.drops |= point.drops > 0 && !known;
        }
    }
    for time in moments.iter().filter(|time| (from_ns..=to_ns).contains(time)) {
        columns[place(*time)].drops = true;
    }
    columns
}

/// The number of connections per row of the plot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    per_row: f64,
    rows: usize,
}

impl Scale {
    /// The limit lies between two rows, with some space above it. With `by_peak`, the peak is the
    /// top.
    fn of(columns: &[Column], limit: u32, rows: usize, by_peak: bool) -> Self {
        let peak = columns.iter().map(|column| column.peak).max().unwrap_or(0);
        let limit = columns
            .iter()
            .filter_map(|column| column.limit)
            .max()
            .map_or(limit, |one| one.max(limit));
        let per_row = if by_peak {
            f64::from(peak.max(1)) / rows as f64
        } else {
            let fits = |below: &usize| {
                f64::from(limit.max(1)) / *below as f64 * rows as f64 >= f64::from(peak)
            };
            let below = (1..rows).rev().find(fits).unwrap_or(1);
            // A queue far above its limit, because that was lowered.
            (f64::from(limit.max(1)) / below as f64).max(f64::from(peak) / rows as f64)
        };
        Self { per_row, rows }
    }

    /// The height in eighths of a row; at least one for any value above zero.
    fn eighths(self, value: u32) -> usize {
        let eighths = (f64::from(value) / self.per_row * 8.0).round();
        // A screen has at most some hundred rows.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the height of a screen"
        )]
        let eighths = eighths.min(8.0 * self.rows as f64) as usize;
        if value > 0 { eighths.max(1) } else { 0 }
    }

    /// The row at this value, counted from below; None if it is above the plot.
    fn row(self, value: u32) -> Option<usize> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest number there is"
        )]
        let row = (f64::from(value) / self.per_row).round() as usize;
        (row < self.rows).then_some(row)
    }
}

fn bar(
    buffer: &mut Buffer,
    plot: Rect,
    x: u16,
    column: &Column,
    limit_now: u32,
    scale: Scale,
    theme: Theme,
) {
    let limit = column.limit.unwrap_or(limit_now);
    let style = if column.peak > limit { theme.alarm() } else { theme.bar() };
    let (depth, mut peak) = (scale.eighths(column.depth), scale.eighths(column.peak));
    // Rounding must not move a queue across its limit in either direction.
    if let Some(row) = scale.row(limit) {
        peak = if column.peak > limit { peak.max(row * 8 + 1) } else { peak.min(row * 8) };
    }
    for (row, y) in (plot.y..plot.bottom()).rev().enumerate() {
        let filled = |eighths: usize| eighths.saturating_sub(row * 8).min(8);
        let (glyph, style) = if filled(depth) > 0 {
            (theme.eighths(filled(depth)), style)
        } else if filled(peak) > 0 {
            (theme.shade(), style)
        } else if scale.row(limit) == Some(row) {
            (theme.limit(), theme.warning())
        } else {
            continue;
        };
        put(buffer, (x, y), x + 1, glyph, style);
    }
}

/// Draws a mark for each column with a drop.
fn marks(buffer: &mut Buffer, area: Rect, columns: &[Column], theme: Theme) {
    if columns.iter().any(|column| column.drops) {
        put_right(buffer, area.x + AXIS - 1, area.y, "drops", theme.alarm());
    }
    for (x, column) in (area.x + AXIS..area.right()).zip(columns) {
        if column.drops {
            put(buffer, (x, area.y), x + 1, "x", theme.alarm());
        }
    }
}

fn axis(buffer: &mut Buffer, plot: Rect, limit: u32, scale: Scale, theme: Theme) {
    for y in plot.y..plot.bottom() {
        put(buffer, (plot.x - 1, y), plot.x, theme.axis(), theme.aside());
    }
    let end = plot.x - 1;
    put_right(buffer, end, plot.bottom() - 1, "0", theme.aside());
    if let Some(row) = scale.row(limit) {
        let y = plot.bottom() - 1 - u16::try_from(row).unwrap_or(0);
        put_right(buffer, end, y, &limit.to_string(), theme.warning());
    } else {
        // The limit is above the visible range; the title has it.
        let top = (scale.per_row * scale.rows as f64).round();
        put_right(buffer, end, plot.y, &format!("{top}"), theme.aside());
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Point, Scale, columns};

    fn point(begin_ns: u64, peak: u32, drops: u64) -> Point {
        Point { begin_ns, end_ns: begin_ns + 10, depth: 1, peak, limit: 16, drops }
    }

    #[test]
    fn each_time_has_its_column_and_a_drop_its_moment() {
        let points = [point(0, 5, 0), point(10, 17, 2), point(30, 3, 1)];
        let columns = columns(&points, &[12], (0, 40), 8);
        let peaks: Vec<u32> = columns.iter().map(|column| column.peak).collect();
        assert_eq!(peaks, [5, 5, 17, 17, 0, 0, 3, 3]);
        // The time of the last drop is unknown, so its whole interval is marked.
        let drops: Vec<bool> = columns.iter().map(|column| column.drops).collect();
        assert_eq!(drops, [false, false, true, false, false, false, true, true]);
        assert_eq!(columns[4].limit, None);
    }

    #[test]
    fn what_is_before_the_window_is_not_in_it() {
        let columns = columns(&[point(0, 9, 1), point(15, 2, 0)], &[5], (10, 30), 2);
        assert_eq!(columns.iter().map(|column| column.peak).max(), Some(2));
        assert!(columns.iter().all(|column| !column.drops));
    }

    #[test]
    fn the_limit_lies_between_rows_and_one_more_is_above_it() {
        for (limit, peak, rows) in [(16, 17, 5), (128, 129, 20), (4096, 3, 6), (1, 2, 4)] {
            let column = Column { peak, ..Column::default() };
            let scale = Scale::of(&[column], limit, rows, false);
            let row = scale.row(limit).unwrap();
            assert!(row >= 1 && row < rows, "{limit} {peak}: {row}");
            assert!(scale.eighths(limit) <= row * 8, "{limit} {peak}");
        }
    }

    #[test]
    fn a_queue_above_a_lowered_limit_fits() {
        let column = Column { peak: 4000, ..Column::default() };
        let scale = Scale::of(&[column], 16, 5, false);
        assert!(scale.eighths(4000) <= 40 && scale.eighths(1) == 1);
    }
}
