//! Text in lines of at most 80 columns, wrapped between words and indented. External strings are
//! escaped here.

use backlog_core::text::outside::safe;

/// The width that every terminal and mail shows.
const COLUMNS: usize = 80;

/// A text under construction.
#[derive(Default)]
pub(crate) struct TextBlock(String);

impl TextBlock {
    /// Adds the title.
    pub(crate) fn title(&mut self, text: &str) {
        self.item(0, text);
    }

    /// Adds a heading after an empty line.
    pub(crate) fn heading(&mut self, text: &str) {
        self.blank();
        self.title(text);
    }

    /// Adds an empty line.
    pub(crate) fn blank(&mut self) {
        self.0.push('\n');
    }

    /// Adds a line without wrapping it, such as a table row.
    pub(crate) fn line(&mut self, text: &str) {
        self.0.push_str(safe(text).trim_end());
        self.0.push('\n');
    }

    /// Adds a block with the same indent for all lines.
    pub(crate) fn item(&mut self, indent: usize, text: &str) {
        self.labelled(&" ".repeat(indent), indent, text);
    }

    /// Adds a block after a label, with a hanging indent. Line breaks of the text are kept; a word
    /// that is too long for a line is not cut.
    pub(crate) fn labelled(&mut self, label: &str, indent: usize, text: &str) {
        let mut line = label.to_owned();
        // The line has nothing but the label or the indent so far.
        let mut fresh = true;
        for part in text.split('\n') {
            for word in part.split_whitespace() {
                if !fresh && line.len() + 1 + word.len() > COLUMNS {
                    self.end(&mut line, indent);
                    fresh = true;
                }
                if !fresh {
                    line.push(' ');
                }
                line.extend(
                    word.chars().map(|char| if char.is_ascii_graphic() { char } else { '?' }),
                );
                fresh = false;
            }
            if !fresh {
                self.end(&mut line, indent);
                fresh = true;
            }
        }
    }

    fn end(&mut self, line: &mut String, indent: usize) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
        *line = " ".repeat(indent);
    }

    /// The finished text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::TextBlock;

    #[test]
    fn lines_are_broken_between_words_and_kept() {
        let mut page = TextBlock::default();
        page.labelled("- ", 2, &format!("{} b\nc", "a ".repeat(39)));
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("- a a") && lines[0].len() <= 80);
        assert_eq!(&lines[1..], ["  b", "  c"]);
    }

    #[test]
    fn a_long_word_is_not_cut() {
        let mut page = TextBlock::default();
        page.item(2, &format!("a {} b", "x".repeat(90)));
        assert_eq!(page.into_text().lines().count(), 3);
    }
}
