//! The first and the last line of the screen, the titles of panes, and clipped text. ratatui leaves
//! out characters that would move the cursor.

use backlog_core::text::format::plural;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::state::{Pane, State};
use super::super::theme::Theme;
use crate::output::playing::Playing;

/// Writes text up to a column. Returns where it ends.
pub(super) fn put(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    end: u16,
    text: &str,
    style: Style,
) -> u16 {
    if x >= end || !buffer.area.contains((x, y).into()) {
        return x;
    }
    buffer.set_stringn(x, y, text, usize::from(end - x), style).0
}

/// Writes text that ends at a column.
pub(super) fn put_right(buffer: &mut Buffer, end: u16, y: u16, text: &str, style: Style) {
    let width = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    put(buffer, (end.saturating_sub(width), y), end, text, style);
}

/// Writes a pane's title followed by a line. Returns the remaining area.
pub(super) fn title(
    buffer: &mut Buffer,
    area: Rect,
    text: &str,
    focused: bool,
    theme: Theme,
) -> Rect {
    let end = put(buffer, (area.x, area.y), area.right(), text, theme.title(focused));
    let rule = theme.rule().repeat(usize::from(area.right().saturating_sub(end + 1)));
    put(buffer, (end + 1, area.y), area.right(), &rule, theme.aside());
    Rect {
        y: area.y.saturating_add(1).min(area.bottom()),
        height: area.height.saturating_sub(1),
        ..area
    }
}

/// Draws the first line: what is traced, and the most important facts.
pub(super) fn top(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let data = state.data();
    let end = area.right();
    let mut x = put(buffer, (area.x, area.y), end, "backlog-trace", theme.title(false));
    let mut word = |text: &str, style: Style| {
        // A number that is cut would be a different number.
        if !text.is_empty() && usize::from(end.saturating_sub(x)) >= text.len() + 2 {
            x = put(buffer, (x + 2, area.y), end, text, style);
        }
    };
    word(&data.time, Style::new());
    if state.paused() {
        word("PAUSED", theme.selected());
    }
    if let Some(playing) = &state.playing {
        let still = playing.stopped || playing.ended;
        word(&place(playing), if still { theme.selected() } else { Style::new() });
    }
    word(&plural(data.rows.len() as u64, "listener"), Style::new());
    let drops: u64 = data.rows.iter().map(|row| row.drops).sum();
    let style = if drops > 0 { theme.alarm() } else { Style::new() };
    word(&plural(drops, "drop"), style);
    if state.noticed > 0 {
        word(&plural(state.noticed, "notice"), theme.warning());
    }
    let (kernel, backend) = &state.system;
    let whole = format!("{kernel} by {backend}");
    if usize::from(end - x) >= whole.len() + 2 {
        put(buffer, (x + 2, area.y), end, &whole, theme.aside());
    } else if usize::from(end - x) >= backend.len() + 2 {
        put(buffer, (x + 2, area.y), end, backend, theme.aside());
    }
}

/// For example `0:12 of 1:00 x2`: the position in a recording, its length, and the speed.
fn place(playing: &Playing) -> String {
    let Playing { at_ns, length_ns, speed, stopped, ended } = *playing;
    let how = match speed {
        _ if ended => "END".to_owned(),
        _ if stopped => "STOPPED".to_owned(),
        Some(speed) => format!("x{speed}"),
        None => "fast".to_owned(),
    };
    format!("{} of {} {how}", minutes(at_ns), minutes(length_ns))
}

/// For example `0:07` or `1:02:03`.
fn minutes(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Draws the last line: the filter that is being typed, or the available keys.
pub(super) fn bottom(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let at = (area.x, area.y);
    if state.ending {
        put(buffer, at, area.right(), "ending: the summary follows", theme.title(false));
    } else if state.typing {
        let end = put(buffer, at, area.right(), "/", theme.title(false));
        let end = put(buffer, (end, area.y), area.right(), &state.filter, Style::new());
        let end = put(buffer, (end, area.y), area.right(), " ", theme.selected());
        let hint = "Enter keeps it, Esc clears it";
        put(buffer, (end + 2, area.y), area.right(), hint, theme.aside());
    } else if state.zoomed {
        let keys = match state.pane {
            Pane::Drops | Pane::Notices => "Esc back  up/down scroll  p pause  ? help  q quit",
            _ => "Esc back  up/down listener  w window  y scale  p pause  ? help  q quit",
        };
        put(buffer, at, area.right(), keys, theme.aside());
    } else if state.playing.is_some() {
        let keys = "? help  q quit  space stop  left/right 10 s  +/-/0 speed  / filter  Tab pane";
        put(buffer, at, area.right(), keys, theme.aside());
    } else {
        let keys = "? help  q quit  / filter  s sort  p pause  w window  Tab pane  Enter maximise";
        put(buffer, at, area.right(), keys, theme.aside());
    }
}
