//! The latest drops and the messages, the newest at the bottom. Addresses are not cut: one that is
//! too long for the line gets a line of its own.

use backlog_core::event::ListenerId;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::state::{Pane, Refused, State};
use super::super::theme::Theme;
use super::text::{put, title};

/// Draws the drops of one listener, or of all.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    state: &State,
    theme: Theme,
    of: Option<ListenerId>,
) {
    let focused = state.pane == Pane::Drops;
    let name = if of.is_some() { "Latest drops here" } else { "Latest drops" };
    let area = title(buffer, area, name, focused, theme);
    let drops = &state.data().drops;
    let mut lines: Vec<(String, Style)> = Vec::new();
    let back = if focused { state.scroll } else { 0 };
    let wanted = usize::from(area.height) + back;
    // From the newest back, until the pane is full.
    for drop in drops.iter().rev().filter(|drop| of.is_none_or(|id| drop.listener == id)) {
        if lines.len() >= wanted {
            break;
        }
        let mut texts = texts(drop, area.width.into());
        texts.reverse();
        lines.extend(texts.into_iter().map(|text| (text, Style::new())));
    }
    show(buffer, area, lines, back, "no drops yet", theme);
}

/// Draws the messages.
pub(super) fn notices(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let focused = state.pane == Pane::Notices;
    let area = title(buffer, area, "Notices", focused, theme);
    let back = if focused { state.scroll } else { 0 };
    let mut lines = Vec::new();
    for notice in state.notices.iter().rev() {
        if lines.len() >= usize::from(area.height) + back {
            break;
        }
        let mut broken = broken(notice, area.width.into());
        broken.reverse();
        lines.extend(broken.into_iter().map(|text| (text, Style::new())));
    }
    show(buffer, area, lines, back, "none", theme);
}

/// Draws lines that are given from the newest back.
fn show(
    buffer: &mut Buffer,
    area: Rect,
    lines: Vec<(String, Style)>,
    back: usize,
    none: &str,
    theme: Theme,
) {
    if lines.is_empty() {
        put(buffer, (area.x, area.y), area.right(), none, theme.aside());
        return;
    }
    let height = usize::from(area.height);
    let back = back.min(lines.len().saturating_sub(height));
    let mut seen: Vec<_> = lines.into_iter().skip(back).take(height).collect();
    seen.reverse();
    for (y, (text, style)) in (area.y..area.bottom()).zip(seen) {
        put(buffer, (area.x, y), area.right(), &text, style);
    }
}

/// A drop as one line, or two.
fn texts(drop: &Refused, width: usize) -> Vec<String> {
    let Refused { time, address, client, cause, fill, retry, .. } = drop;
    let retry = retry.as_ref().map_or(String::new(), |after| format!(" again after {after}"));
    let whole = format!("{time} {address} <- {client} {cause} {fill}{retry}");
    if whole.len() <= width {
        return vec![whole];
    }
    vec![format!("{time} {address} <- {client}"), format!("    {cause} {fill}{retry}")]
}

/// Wraps text between words; later lines are indented.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, "   ".into()));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::broken;

    #[test]
    fn notices_are_broken_between_words() {
        assert_eq!(broken("one two three", 8), ["one two", "    three"]);
        assert_eq!(broken("toolongforit b", 5), ["toolongforit", "    b"]);
    }
}
