//! The style of the screen: with or without colour, with block characters or plain ASCII, depending
//! on the environment.

use ratatui::style::{Color, Modifier, Style};

/// See the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Colours are shown.
    pub(crate) colour: bool,
    /// Glyphs beyond ASCII are shown.
    pub(crate) blocks: bool,
}

/// Cells filled from below, in eighths.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// The same for terminals that only support ASCII.
const ASCII_EIGHTHS: [&str; 9] = [" ", ".", ".", ".", "o", "o", "o", "#", "#"];

#[expect(clippy::unused_self, reason = "callers need not know which style ignores the theme")]
impl Theme {
    /// Chooses the theme from environment variables.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        Self {
            colour: set("NO_COLOR").is_none() && !term.starts_with("vt"),
            // The font of the Linux console has no eighths.
            blocks: (locale.contains("utf-8") || locale.contains("utf8")) && term != "linux",
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The style of secondary text.
    pub(crate) fn aside(self) -> Style {
        self.coloured(Color::DarkGray)
    }

    /// The style of a title; that of the focused pane stands out.
    pub(crate) fn title(self, focused: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if focused { style.add_modifier(Modifier::REVERSED) } else { style }
    }

    /// The style of the selected row.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The style of drops and full queues.
    pub(crate) fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The style of queues near their limit.
    pub(crate) fn warning(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// The style of bars.
    pub(crate) fn bar(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// A cell filled to this many eighths.
    pub(crate) fn eighths(self, filled: usize) -> &'static str {
        let glyphs = if self.blocks { EIGHTHS } else { ASCII_EIGHTHS };
        glyphs[filled.min(8)]
    }

    /// A cell of a horizontal bar.
    pub(crate) fn full(self) -> &'static str {
        if self.blocks { "█" } else { "#" }
    }

    /// A cell between the depth and the peak.
    pub(crate) fn shade(self) -> &'static str {
        if self.blocks { "░" } else { ":" }
    }

    /// A cell of the limit's line.
    pub(crate) fn limit(self) -> &'static str {
        if self.blocks { "┄" } else { "-" }
    }

    /// A cell of the line after a title.
    pub(crate) fn rule(self) -> &'static str {
        if self.blocks { "─" } else { "-" }
    }

    /// A cell of the line next to a plot.
    pub(crate) fn axis(self) -> &'static str {
        if self.blocks { "│" } else { "|" }
    }
}

#[cfg(test)]
mod tests {
    use super::Theme;

    fn theme(variables: &[(&str, &str)]) -> Theme {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        Theme::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_says_what_the_terminal_shows() {
        let utf8 = ("LANG", "C.UTF-8");
        assert_eq!(theme(&[utf8]), Theme { colour: true, blocks: true });
        assert!(!theme(&[utf8, ("NO_COLOR", "1")]).colour);
        assert!(theme(&[utf8, ("NO_COLOR", "")]).colour);
        assert!(!theme(&[utf8, ("TERM", "vt100")]).colour);
        // The first of the three variables that is set wins.
        assert!(!theme(&[utf8, ("LC_ALL", "C")]).blocks);
        assert!(theme(&[("LANG", "C"), ("LC_CTYPE", "de_DE.utf8")]).blocks);
        assert!(!theme(&[utf8, ("TERM", "linux")]).blocks);
        assert!(!theme(&[]).blocks);
    }
}
