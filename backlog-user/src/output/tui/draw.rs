//! The layout of the screen. Each pane has a file of its own and draws the state into a rectangle;
//! none makes decisions.

mod drops;
mod help;
mod histogram;
mod list;
mod plot;
mod text;

use backlog_core::text::outside::is_active;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::state::{Pane, State};
use super::theme::Theme;
use text::{put, title};

/// The smallest useful screen.
const LEAST: (u16, u16) = (60, 16);
/// From this height on, all panes are shown at once.
const TALL: u16 = 36;
/// From this width on, two panes are next to each other.
const WIDE: u16 = 110;

/// Draws the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    panes(buffer, area, state, theme);
    disarm(buffer);
}

/// Escapes external strings, whichever pane has drawn them, since cells go to the terminal
/// unchanged.
fn disarm(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().contains(is_active) {
            cell.set_symbol("?");
        }
    }
}

fn panes(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(buffer, area, theme);
        return;
    }
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    text::top(buffer, top, state, theme);
    text::bottom(buffer, bottom, state, theme);
    if state.help {
        help::draw(buffer, middle, state.playing.is_some(), theme);
    } else if state.zoomed {
        alone(buffer, middle, state, theme);
    } else if middle.height + 2 < TALL {
        small(buffer, middle, state, theme);
    } else {
        large(buffer, middle, state, theme);
    }
}

fn too_small(buffer: &mut Buffer, area: Rect, theme: Theme) {
    let (columns, rows) = LEAST;
    let lines = [
        format!("too small: {}x{}", area.width, area.height),
        format!("needs {columns}x{rows}; q ends"),
    ];
    for (row, line) in (area.y..area.bottom()).zip(&lines) {
        put(buffer, (area.x, row), area.right(), line, theme.title(false));
    }
}

/// Draws the list, the plot, and one of the other panes.
fn small(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let [listeners, queue, rest] = Layout::vertical([
        Constraint::Length(listed(state, area.height * 7 / 22)),
        Constraint::Min(0),
        Constraint::Length(area.height * 7 / 22),
    ])
    .areas(area);
    list::draw(buffer, listeners, state, theme);
    plot::draw(buffer, queue, state, theme, 1);
    pane(buffer, rest, state.tab, state, theme);
}

/// The height of the list: as much as it needs, up to `most`. The plot gets the rest.
fn listed(state: &State, most: u16) -> u16 {
    let rows = u16::try_from(state.data().rows.len()).unwrap_or(u16::MAX);
    // At least a title, a heading, and a row.
    rows.saturating_add(2).max(4).min(most)
}

/// Draws all panes.
fn large(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let [listeners, queue, rest] = Layout::vertical([
        Constraint::Length(listed(state, area.height * 3 / 10)),
        Constraint::Min(0),
        Constraint::Length(area.height * 4 / 10),
    ])
    .areas(area);
    list::draw(buffer, listeners, state, theme);
    plot::draw(buffer, queue, state, theme, 2);
    let [rest, notices] =
        Layout::vertical([Constraint::Min(0), Constraint::Ratio(1, 4)]).areas(rest);
    let halves = [Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)];
    let [histograms, drops] = if area.width >= WIDE {
        Layout::horizontal(halves).spacing(1).areas(rest)
    } else {
        Layout::vertical(halves).areas(rest)
    };
    pane(buffer, histograms, Pane::Histograms, state, theme);
    pane(buffer, drops, Pane::Drops, state, theme);
    pane(buffer, notices, Pane::Notices, state, theme);
}

/// Draws a single pane. For the list, this is the selected listener with all details.
fn alone(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    if state.pane != Pane::Listeners {
        pane(buffer, area, state.pane, state, theme);
        return;
    }
    let [queue, histograms, drops] =
        Layout::vertical([Constraint::Ratio(4, 10), Constraint::Ratio(4, 10), Constraint::Min(0)])
            .areas(area);
    plot::draw(buffer, queue, state, theme, 3);
    pane(buffer, histograms, Pane::Histograms, state, theme);
    drops::draw(buffer, drops, state, theme, state.detail.id);
}

fn pane(buffer: &mut Buffer, area: Rect, pane: Pane, state: &State, theme: Theme) {
    match pane {
        Pane::Drops => drops::draw(buffer, area, state, theme, None),
        Pane::Notices => drops::notices(buffer, area, state, theme),
        Pane::Histograms | Pane::Listeners => {
            let focused = state.pane == Pane::Histograms;
            let name = format!("Depth and wait at {}", state.detail.address);
            let area = title(buffer, area, &name, focused, theme);
            let [depths, waits] =
                Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)])
                    .spacing(2)
                    .areas(area);
            histogram::depths(buffer, depths, &state.detail, theme);
            histogram::waits(buffer, waits, &state.detail, theme);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::disarm;
    use ratatui::buffer::{Buffer, Cell};
    use ratatui::layout::Rect;

    #[test]
    fn no_cell_commands_the_terminal() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        for (cell, symbol) in
            buffer.content.iter_mut().zip(["\u{9b}", "a\u{200d}", "ü", "\u{202e}"])
        {
            cell.set_symbol(symbol);
        }
        disarm(&mut buffer);
        let shown: String = buffer.content.iter().map(Cell::symbol).collect();
        assert_eq!(shown, "??ü?");
    }
}
