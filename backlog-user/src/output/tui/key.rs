//! The keys of the screen, independent of how they are read from the terminal.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    /// Ctrl-C
    Interrupt,
    /// Ctrl-Z
    Stop,
    /// Ctrl-L
    Repaint,
}

impl Key {
    /// Converts a key event, if the key has a meaning.
    pub(crate) fn of(event: KeyEvent) -> Option<Self> {
        let KeyEvent { code, modifiers, kind, .. } = event;
        if kind == KeyEventKind::Release || modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        let control = modifiers.contains(KeyModifiers::CONTROL);
        Some(match code {
            KeyCode::Char(char) if control => match char.to_ascii_lowercase() {
                'c' => Self::Interrupt,
                'z' => Self::Stop,
                'l' => Self::Repaint,
                'n' => Self::Down,
                'p' => Self::Up,
                _ => return None,
            },
            KeyCode::Char(char) => Self::Char(char),
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Escape,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Backspace => Self::Backspace,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_no_letter() {
        let key = |code, modifiers| Key::of(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::Char('S'), KeyModifiers::SHIFT), Some(Key::Char('S')));
    }
}
