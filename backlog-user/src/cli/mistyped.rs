//! Detects a mistyped command, which would otherwise be taken for an INTERVAL and its options for
//! unknown ones. Pure.

use clap::CommandFactory as _;

use crate::cli::Args;
use crate::cli::time::parse_time;

/// The error for a word in place of a command or interval, if it resembles a command.
pub(crate) fn command(word: &str) -> Option<String> {
    let is_word = word.starts_with(char::is_alphabetic);
    if !is_word || parse_time(word).is_some() {
        return None;
    }
    let names = commands();
    (!names.iter().any(|name| name == word)).then(|| explain(word, &names))
}

/// The error for a command's name in place of an interval: options precede it.
pub(crate) fn late_command(word: &str) -> Option<String> {
    commands().iter().any(|name| name == word).then(|| {
        format!(
            "`{word}` is a command and must come first: put its options after it \
             (backlog-trace {word} OPTIONS)"
        )
    })
}

/// The names of all commands.
fn commands() -> Vec<String> {
    Args::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn explain(word: &str, names: &[String]) -> String {
    if word.eq_ignore_ascii_case("help") || word.eq_ignore_ascii_case("version") {
        return format!("unknown command `{word}`: did you mean --{}?", word.to_ascii_lowercase());
    }
    let names_as_str: Vec<&str> = names.iter().map(String::as_str).collect();
    match nearest(word, &names_as_str) {
        Some(name) => format!("unknown command `{word}`: did you mean `{name}`?"),
        None => format!(
            "`{word}` is neither a command ({}) nor an interval (1, 0.5, 10s)",
            names.join(", ")
        ),
    }
}

/// The name that begins with a word or resembles it most; None if no name resembles it.
pub(crate) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let starts = |name: &&&str| word.len() > 1 && name.to_lowercase().starts_with(&word);
    if let Some(begun) = names.iter().find(starts) {
        return Some(begun);
    }
    let all = names.iter().map(|name| (distance(&word, &name.to_lowercase()), *name));
    let near = all.filter(|(distance, name)| *distance <= name.len() / 3);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The edit distance: insertions, deletions, substitutions, and swaps of adjacent letters.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=other.len()).collect()];
    for (row, char) in one.iter().enumerate() {
        rows.rotate_left(1);
        let mut now = vec![row + 1];
        for (column, with) in other.iter().enumerate() {
            let above = rows[1][column + 1] + 1;
            let before = now[column] + 1;
            let replaced = rows[1][column] + usize::from(char != with);
            let mut least = above.min(before).min(replaced);
            let exchanged =
                row > 0 && column > 0 && one[row - 1] == *with && *char == other[column - 1];
            if exchanged {
                least = least.min(rows[0][column - 1] + 1);
            }
            now.push(least);
        }
        rows[2] = now;
    }
    rows[2][other.len()]
}

#[cfg(test)]
mod tests {
    use super::{command, distance, late_command};

    #[test]
    fn a_mistyped_command_is_no_interval() {
        for (word, meant) in [
            ("listners", "`listeners`"),
            ("listener", "`listeners`"),
            ("Listeners", "`listeners`"),
            ("list", "`listeners`"),
            ("docter", "`doctor`"),
            ("erplay", "`replay`"),
            ("reprot", "`report`"),
            ("help", "--help"),
        ] {
            let error = command(word).unwrap();
            assert!(error.contains(meant) && error.contains("did you mean"), "{error}");
        }
        let other = command("run.jsonl").unwrap();
        assert!(other.contains("listeners, doctor") && !other.contains("did you mean"), "{other}");
        for right in ["listeners", "man", "1", "0.5", "10s", "1m", "-q", "--port", "1e300", ""] {
            assert_eq!(command(right), None, "{right}");
        }
    }

    #[test]
    fn a_command_behind_options_is_named() {
        let error = late_command("listeners").unwrap();
        assert!(error.contains("put its options after it"), "{error}");
        assert_eq!(late_command("10s"), None);
    }

    #[test]
    fn letters_are_counted() {
        for (one, other, letters) in [
            ("", "", 0),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("acb", "abc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
