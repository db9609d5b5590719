//! Wraps lines at 80 columns, between words, and aligns the rest with the beginning of the text. A
//! word, such as an address or name, is never cut. All text of the table and the summary passes
//! through here, so external strings are escaped here.

use std::io::{self, Write};

use backlog_core::text::outside::harmless;

/// The width that every terminal and mail shows.
const COLUMNS: usize = 80;

/// Wraps the text written to it and passes it on.
pub(crate) struct Wrapped<W> {
    out: W,
    /// The current, incomplete line.
    line: Vec<u8>,
}

impl<W: Write> Wrapped<W> {
    /// Creates a wrapper around `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }

    fn end_line(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.line);
        let text = harmless(&text);
        if text.len() <= COLUMNS {
            writeln!(self.out, "{text}")?;
        } else {
            self.out.write_all(wrap(&text).as_bytes())?;
        }
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> Write for Wrapped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line.extend_from_slice(end);
                    self.end_line()?;
                }
                None => self.line.extend_from_slice(piece),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The indent of wrapped lines: after the time of an event, after the label of a summary.
fn hang(indent: usize) -> usize {
    match indent {
        0 => 9,
        2 => 15,
        deep => deep.min(COLUMNS / 2),
    }
}

fn wrap(line: &str) -> String {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    let hang = hang(indent);
    let mut wrapped = " ".repeat(indent);
    let (mut column, mut begun) = (indent, false);
    // Keep several spaces between words, since they align columns.
    for word in text.split_inclusive(' ') {
        let width = word.trim_end_matches(' ').chars().count();
        if begun && width > 0 && column + width > COLUMNS {
            wrapped.truncate(wrapped.trim_end_matches(' ').len());
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(hang));
            column = hang;
        }
        wrapped.push_str(word);
        column += word.chars().count();
        begun = true;
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::Wrapped;
    use std::io::Write as _;

    fn wrapped(text: &str) -> String {
        let mut out = Vec::new();
        let mut writer = Wrapped::new(&mut out);
        // In pieces, as the formatting macros write.
        for piece in text.as_bytes().chunks(7) {
            writer.write_all(piece).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_long_line_hangs_and_an_address_is_not_cut() {
        let local = "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535";
        let text = format!("22:13:20.400000 DROP {local} <- {local}\nshort\n");
        let lines: Vec<String> = wrapped(&text).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                format!("22:13:20.400000 DROP {local} <-"),
                format!("         {local}"),
                "short".into()
            ]
        );
    }

    #[test]
    fn the_words_of_the_summary_stay_below_each_other() {
        let words = "gunicorn[812] requested -1 (the maximum), net.core.somaxconn grants 128";
        insta::assert_snapshot!(wrapped(&format!("  requested    {words} of it all\n")), @r"
          requested    gunicorn[812] requested -1 (the maximum), net.core.somaxconn
                       grants 128 of it all
        ");
    }

    #[test]
    fn no_character_commands_the_terminal() {
        let evil = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r";
        for text in [evil.to_owned(), format!("{evil} {evil}").repeat(5)] {
            let shown = wrapped(&format!("{text}\n"));
            assert!(!shown.contains(|char: char| char != '\n' && char.is_control()), "{shown:?}");
            assert!(shown.starts_with("?]0;x??2J??") && !shown.contains('\u{202e}'), "{shown:?}");
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let row = format!("{:80}\n", "x   y");
        assert_eq!(wrapped(&row), row);
    }
}
