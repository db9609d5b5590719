//! Parses tmux's text of a screen into runs of cells with the same look. It handles the few
//! sequences that set a colour or a style (ECMA-48 SGR), and skips all others.

/// The look of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// One of the terminal's 16 colours; None for the default.
    pub(super) colour: Option<u8>,
    pub(super) bold: bool,
    pub(super) reversed: bool,
}

/// Adjacent cells with the same look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) look: Look,
}

/// Parses the runs of each line.
pub(super) fn parse(screen: &str) -> Vec<Vec<Run>> {
    let mut look = Look::default();
    screen.lines().map(|line| runs(line, &mut look)).collect()
}

fn runs(line: &str, look: &mut Look) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut column = 0;
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
        if char == '\u{1b}' {
            if let Some(sequence) = rest.strip_prefix('[') {
                let end = sequence.find(|char: char| char.is_ascii_alphabetic());
                let (codes, after) = sequence.split_at(end.unwrap_or(sequence.len()));
                if let Some(after) = after.strip_prefix('m') {
                    set(look, codes);
                    rest = after;
                } else {
                    rest = after.get(1..).unwrap_or_default();
                }
            } else if rest.starts_with('(') {
                // A switch of the character set.
                rest = rest.get(2..).unwrap_or_default();
            }
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.look == *look => last.text.push(char),
            _ => runs.push(Run { column, text: char.to_string(), look: *look }),
        }
        column += 1;
    }
    runs
}

fn set(look: &mut Look, codes: &str) {
    let mut codes = codes.split(';').map(|code| code.parse::<u8>().unwrap_or(0));
    while let Some(code) = codes.next() {
        match code {
            0 => *look = Look::default(),
            1 => look.bold = true,
            22 => look.bold = false,
            7 => look.reversed = true,
            27 => look.reversed = false,
            30..=37 => look.colour = Some(code - 30),
            90..=97 => look.colour = Some(code - 90 + 8),
            38 => {
                // `38;5;N` is colour N of a palette that begins with the 16.
                let kind = codes.next();
                let number = codes.next();
                look.colour = number.filter(|number| kind == Some(5) && *number < 16);
            }
            39 => look.colour = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, parse};

    #[test]
    fn styles_are_told_apart() {
        let lines = parse("a\u{1b}[1m\u{1b}[31mbc\u{1b}[0m d\n\u{1b}[38;5;8m\u{1b}(B\u{2588}");
        let texts: Vec<_> = lines[0].iter().map(|run| (run.column, run.text.as_str())).collect();
        assert_eq!(texts, [(0, "a"), (1, "bc"), (3, " d")]);
        let red = Look { colour: Some(1), bold: true, reversed: false };
        assert_eq!(lines[0][1].look, red);
        assert_eq!(lines[1][0].look.colour, Some(8));
    }
}
