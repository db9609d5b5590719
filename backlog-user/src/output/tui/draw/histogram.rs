//! Histograms of depths and waits: horizontal bars with counts if there is a row for each bucket,
//! otherwise vertical bars.

use backlog_core::model::distribution::Bucket;
use backlog_core::model::interval::Waits;
use backlog_core::text::format::duration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::detail::Detail;
use super::super::theme::Theme;
use super::text::{put, put_right};

/// Draws the depths that arrivals met.
pub(super) fn depths(buffer: &mut Buffer, area: Rect, detail: &Detail, theme: Theme) {
    let (buckets, percentiles) = &detail.depths;
    draw(buffer, area, "depth", buckets, percentiles.as_ref(), |value| value.to_string(), theme);
}

/// Draws the waits of accepted connections.
pub(super) fn waits(buffer: &mut Buffer, area: Rect, detail: &Detail, theme: Theme) {
    let (buckets, percentiles) = &detail.waits;
    draw(buffer, area, "wait", buckets, percentiles.as_ref(), duration, theme);
}

fn draw(
    buffer: &mut Buffer,
    area: Rect,
    name: &str,
    buckets: &[Bucket],
    percentiles: Option<&Waits>,
    text: impl Fn(u64) -> String,
    theme: Theme,
) {
    let head = match percentiles {
        None => format!("{name}: none yet"),
        Some(Waits { p50, p90, p99, max }) => {
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(|value| text(*value));
            // A number that is cut would be a different number.
            [
                format!("{name}: p50 {p50} p90 {p90} p99 {p99} max {max}"),
                format!("{name}: p50 {p50} p99 {p99} max {max}"),
                format!("{name}: p50 {p50} max {max}"),
            ]
            .into_iter()
            .find(|text| text.len() <= usize::from(area.width))
            .unwrap_or_else(|| format!("{name}: max {max}"))
        }
    };
    put(buffer, (area.x, area.y), area.right(), &head, Style::new());
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    if most == 0 || area.height == 0 {
        return;
    }
    if buckets.len() <= usize::from(area.height) {
        lying(buffer, area, buckets, most, text, theme);
    } else {
        standing(buffer, area, buckets, most, text, theme);
    }
}

/// Draws horizontal bars: the range, a bar, and the count of each bucket.
fn lying(
    buffer: &mut Buffer,
    area: Rect,
    buckets: &[Bucket],
    most: u64,
    text: impl Fn(u64) -> String,
    theme: Theme,
) {
    const RANGE: u16 = 14;
    const COUNT: u16 = 8;
    let room = u64::from(area.width.saturating_sub(RANGE + COUNT + 2));
    for (y, bucket) in (area.y..area.bottom()).zip(buckets) {
        let range = format!("{} -> {}", text(bucket.low), text(bucket.high));
        put_right(buffer, area.x + RANGE, y, &range, Style::new());
        let x = area.x + RANGE + 1;
        // A bucket that is not empty has a bar.
        let length = usize::try_from((bucket.count * room).div_ceil(most)).unwrap_or(0);
        let end = put(buffer, (x, y), area.right(), &theme.full().repeat(length), theme.bar());
        let count = bucket.count.to_string();
        put(buffer, (end + u16::from(length > 0), y), area.right(), &count, Style::new());
    }
}

/// Draws vertical bars, with the ends of some buckets below.
fn standing(
    buffer: &mut Buffer,
    area: Rect,
    buckets: &[Bucket],
    most: u64,
    text: impl Fn(u64) -> String,
    theme: Theme,
) {
    let count = u16::try_from(buckets.len()).unwrap_or(u16::MAX);
    let step = (area.width / count).clamp(1, 4);
    let bars = Rect { height: area.height - 1, ..area };
    let room = u64::from(bars.height) * 8;
    let mut free = area.x;
    for (bucket, x) in buckets.iter().zip((area.x..area.right()).step_by(step.into())) {
        let eighths = usize::try_from((bucket.count * room).div_ceil(most)).unwrap_or(0);
        // Leave a gap between bars if there is space.
        let end = (x + step - u16::from(step > 2)).min(area.right());
        for (row, y) in (bars.y..bars.bottom()).rev().enumerate() {
            let filled = eighths.saturating_sub(row * 8).min(8);
            if filled > 0 {
                let glyphs = theme.eighths(filled).repeat(usize::from(end - x));
                put(buffer, (x, y), end, &glyphs, theme.bar());
            }
        }
        let label = text(bucket.high);
        let width = u16::try_from(label.len()).unwrap_or(u16::MAX);
        if x >= free && x + width <= area.right() {
            free = put(buffer, (x, bars.bottom()), area.right(), &label, theme.aside()) + 1;
        }
    }
}
