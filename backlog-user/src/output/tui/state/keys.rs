//! The effects of keys.

use super::{Pane, State, WINDOWS};
use crate::output::playing::Play;
use crate::output::tui::key::Key;
use crate::output::tui::row::By;

/// What the caller must do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Draw,
    /// Freeze the display, with the details of every listener.
    Pause,
    /// Redraw everything.
    Repaint,
    /// Restore the terminal and stop until continued.
    Suspend,
    Quit,
    /// Change the playback of the recording.
    Play(Play),
}

/// The maximum length of a filter.
const LONGEST_FILTER: usize = 60;
/// The number of rows that a page key moves.
const PAGE: isize = 10;

impl State {
    /// Handles a key.
    pub(crate) fn key(&mut self, key: Key) -> Action {
        let play = self.playing.and_then(|_| asked(key));
        match key {
            Key::Interrupt => return Action::Quit,
            Key::Stop => return Action::Suspend,
            Key::Repaint => return Action::Repaint,
            _ if self.typing => self.typed(key),
            Key::Char('q') => return Action::Quit,
            // Any key closes the help first.
            _ if self.help => self.help = false,
            _ if play.is_some() => return play.map_or(Action::Nothing, Action::Play),
            Key::Char('p') if self.frozen.is_none() => return Action::Pause,
            Key::Char('p') => {
                self.frozen = None;
                self.arrange();
            }
            _ => return self.pressed(key),
        }
        Action::Draw
    }

    fn pressed(&mut self, key: Key) -> Action {
        match key {
            Key::Char('?' | 'h') => self.help = true,
            Key::Char('/') => self.typing = true,
            Key::Char('s') => self.sort(self.by.further(1), false),
            Key::Char('S') => self.sort(self.by.back(), false),
            Key::Char('r') => self.sort(self.by, !self.reversed),
            Key::Char('w') => self.window = Some((self.window_index() + 1) % (WINDOWS.len() + 1)),
            Key::Char('y') => self.by_peak = !self.by_peak,
            Key::Tab => self.focus(1),
            Key::BackTab => self.focus(3),
            Key::Enter => self.zoom(!self.zoomed),
            Key::Escape if self.zoomed => self.zoom(false),
            Key::Escape => {
                self.filter.clear();
                self.pane = Pane::Listeners;
                self.arrange();
            }
            Key::Char('k') | Key::Up => self.step(-1),
            Key::Char('j') | Key::Down => self.step(1),
            Key::PageUp => self.step(-PAGE),
            Key::PageDown => self.step(PAGE),
            Key::Char('g') | Key::Home => self.step(isize::MIN),
            Key::Char('G') | Key::End => self.step(isize::MAX),
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    /// Handles a key while the filter is being typed.
    fn typed(&mut self, key: Key) {
        match key {
            Key::Char(char) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(char);
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.filter.clear();
                self.typing = false;
            }
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            _ => {}
        }
        self.arrange();
    }

    fn sort(&mut self, by: By, reversed: bool) {
        (self.by, self.reversed) = (by, reversed);
        self.arrange();
    }

    /// Moves the focus by this many panes.
    fn focus(&mut self, steps: usize) {
        const PANES: [Pane; 4] = [Pane::Listeners, Pane::Histograms, Pane::Drops, Pane::Notices];
        let at = PANES.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = PANES[(at + steps) % PANES.len()];
        if self.pane != Pane::Listeners {
            self.tab = self.pane;
        }
        self.scroll = 0;
    }

    /// Makes the focused pane fill the screen, or restores the layout.
    fn zoom(&mut self, zoomed: bool) {
        self.zoomed = zoomed;
        if zoomed {
            // Pin the listener: the user did not choose one that becomes the first later.
            self.chosen = self.selected;
        }
        self.arrange();
    }

    /// Moves the selection, or scrolls.
    fn step(&mut self, steps: isize) {
        if matches!(self.pane, Pane::Drops | Pane::Notices) && !self.typing {
            // The newest is at the bottom, so up scrolls back.
            let most = self.data().drops.len().max(self.notices.len());
            let back = self.scroll.saturating_add_signed(steps.saturating_neg());
            self.scroll = back.min(most);
            return;
        }
        let (rows, at) = self.listed();
        let last = rows.len().saturating_sub(1);
        let to = at.saturating_add_signed(steps).min(last);
        // Home makes the selection follow the first row.
        self.chosen = (steps != isize::MIN).then(|| rows.get(to).map(|row| row.id)).flatten();
        self.arrange();
    }
}

/// The playback request of a key.
fn asked(key: Key) -> Option<Play> {
    Some(match key {
        // A replay pauses as a whole, like the display of a run.
        Key::Char(' ' | 'p') => Play::Stop,
        Key::Left => Play::Back,
        Key::Right => Play::Further,
        Key::Char('+' | '=') => Play::Faster,
        Key::Char('-') => Play::Slower,
        Key::Char('0') => Play::Fastest,
        _ => return None,
    })
}
