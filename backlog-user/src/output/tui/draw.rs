//! The screen: what is where. Each pane has a file of its own; they are given a rectangle and
//! the state, and decide nothing.

mod drops;
mod help;
mod histogram;
mod list;
mod plot;
mod text;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::ink::Ink;
use super::state::{Pane, State};
use text::{put, title};

/// The smallest screen that shows anything of use.
const LEAST: (u16, u16) = (60, 16);
/// From this height on all panes are there at once.
const TALL: u16 = 36;
/// From this width on two panes stand side by side.
const WIDE: u16 = 110;

/// Draws the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, ink: Ink) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(buffer, area, ink);
        return;
    }
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    text::top(buffer, top, state, ink);
    text::bottom(buffer, bottom, state, ink);
    if state.help {
        help::draw(buffer, middle, state.playing.is_some(), ink);
    } else if state.zoomed {
        alone(buffer, middle, state, ink);
    } else if middle.height + 2 < TALL {
        small(buffer, middle, state, ink);
    } else {
        large(buffer, middle, state, ink);
    }
}

fn too_small(buffer: &mut Buffer, area: Rect, ink: Ink) {
    let (columns, rows) = LEAST;
    let lines = [
        format!("too small: {}x{}", area.width, area.height),
        format!("needs {columns}x{rows}; q ends"),
    ];
    for (row, line) in (area.y..area.bottom()).zip(&lines) {
        put(buffer, (area.x, row), area.right(), line, ink.title(false));
    }
}

/// The list, the plot, and one of the other panes.
fn small(buffer: &mut Buffer, area: Rect, state: &State, ink: Ink) {
    let [listeners, queue, rest] = Layout::vertical([
        Constraint::Length(listed(state, area.height * 7 / 22)),
        Constraint::Min(0),
        Constraint::Length(area.height * 7 / 22),
    ])
    .areas(area);
    list::draw(buffer, listeners, state, ink);
    plot::draw(buffer, queue, state, ink, 1);
    pane(buffer, rest, state.tab, state, ink);
}

/// The height of the list: what it needs, up to so much. The plot has the rest.
fn listed(state: &State, most: u16) -> u16 {
    let rows = u16::try_from(state.data().rows.len()).unwrap_or(u16::MAX);
    // A title, a heading, and a row at least.
    rows.saturating_add(2).max(4).min(most)
}

/// All panes.
fn large(buffer: &mut Buffer, area: Rect, state: &State, ink: Ink) {
    let [listeners, queue, rest] = Layout::vertical([
        Constraint::Length(listed(state, area.height * 3 / 10)),
        Constraint::Min(0),
        Constraint::Length(area.height * 4 / 10),
    ])
    .areas(area);
    list::draw(buffer, listeners, state, ink);
    plot::draw(buffer, queue, state, ink, 2);
    let [rest, notices] =
        Layout::vertical([Constraint::Min(0), Constraint::Ratio(1, 4)]).areas(rest);
    let halves = [Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)];
    let [histograms, drops] = if area.width >= WIDE {
        Layout::horizontal(halves).spacing(1).areas(rest)
    } else {
        Layout::vertical(halves).areas(rest)
    };
    pane(buffer, histograms, Pane::Histograms, state, ink);
    pane(buffer, drops, Pane::Drops, state, ink);
    pane(buffer, notices, Pane::Notices, state, ink);
}

/// One pane for itself; of the list that is the selected listener with all that is known.
fn alone(buffer: &mut Buffer, area: Rect, state: &State, ink: Ink) {
    if state.pane != Pane::Listeners {
        pane(buffer, area, state.pane, state, ink);
        return;
    }
    let [queue, histograms, drops] =
        Layout::vertical([Constraint::Ratio(4, 10), Constraint::Ratio(4, 10), Constraint::Min(0)])
            .areas(area);
    plot::draw(buffer, queue, state, ink, 3);
    pane(buffer, histograms, Pane::Histograms, state, ink);
    drops::draw(buffer, drops, state, ink, state.detail.id);
}

fn pane(buffer: &mut Buffer, area: Rect, pane: Pane, state: &State, ink: Ink) {
    match pane {
        Pane::Drops => drops::draw(buffer, area, state, ink, None),
        Pane::Notices => drops::notices(buffer, area, state, ink),
        Pane::Histograms | Pane::Listeners => {
            let focused = state.pane == Pane::Histograms;
            let name = format!("Depth and wait at {}", state.detail.address);
            let area = title(buffer, area, &name, focused, ink);
            let [depths, waits] =
                Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)])
                    .spacing(2)
                    .areas(area);
            histogram::depths(buffer, depths, &state.detail, ink);
            histogram::waits(buffer, waits, &state.detail, ink);
        }
    }
}
