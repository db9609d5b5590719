//! The texts for the checks of language: pages, texts of `--help`, and sources, either complete or
//! only their comments. A text is split into paragraphs and words, so that phrases are found across
//! line breaks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::paths;

/// The pages with prose for users and developers.
const PAGES: [&str; 2] = ["README.md", "docs"];
/// The folders with sources.
const SOURCES: [&str; 4] = ["backlog-ebpf", "backlog-user", "tests", "xtask"];
/// The folder with the texts of `--help`.
const HELP: &str = "backlog-user/src/snapshots";

/// A file with its path below the root.
pub(super) struct Text {
    /// The path that errors show.
    pub(super) name: String,
    /// The content. For comments, all other lines of a source are empty.
    pub(super) content: String,
}

/// Pages and texts of `--help`.
pub(super) fn pages() -> Result<Vec<Text>> {
    let mut found = Vec::new();
    for page in PAGES {
        files(&paths::root().join(page), "md", &mut found)?;
    }
    let mut help = Vec::new();
    files(&paths::root().join(HELP), "snap", &mut help)?;
    help.retain(|path| path.to_string_lossy().contains("cli__tests"));
    found.append(&mut help);
    read(found)
}

/// Rust sources, complete.
pub(super) fn sources() -> Result<Vec<Text>> {
    let mut found = Vec::new();
    for folder in SOURCES {
        files(&paths::root().join(folder), "rs", &mut found)?;
    }
    read(found)
}

/// The comments of Rust sources, except for those after code, since what looks like one may be part
/// of a string.
pub(super) fn comments() -> Result<Vec<Text>> {
    let mut texts = sources()?;
    for text in &mut texts {
        text.content = only_comments(&text.content);
    }
    Ok(texts)
}

/// Blanks all lines of a source that are not comments.
fn only_comments(source: &str) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix("//") {
        Some(comment) => comment.trim_start_matches(['/', '!']).to_owned() + "\n",
        None => "\n".to_owned(),
    };
    source.lines().map(line).collect()
}

fn read(mut paths: Vec<PathBuf>) -> Result<Vec<Text>> {
    paths.sort();
    let text = |path: PathBuf| {
        let content =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(paths::root()).unwrap_or(&path).display().to_string();
        Ok(Text { name, content })
    };
    paths.into_iter().map(text).collect()
}

/// Adds the files below a folder with this extension, or the file itself.
fn files(path: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        if path.extension().is_some_and(|its| its == ending) {
            found.push(path.to_owned());
        }
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
        files(&entry.path(), ending, found)?;
    }
    Ok(())
}

/// A lower-case word, [`STOP`] or [`PAUSE`], and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) line: usize,
    pub(super) word: String,
}

/// Marks the beginning of a paragraph and the end of a sentence.
pub(super) const STOP: &str = ".";
/// Marks punctuation within a sentence.
const PAUSE: &str = ",";

/// Splits a text into words. An empty line ends a paragraph.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut in_paragraph = false;
    for (index, content) in text.lines().enumerate() {
        let line = index + 1;
        if !in_paragraph {
            words.push(Word { line, word: STOP.to_owned() });
        }
        in_paragraph = !content.trim().is_empty();
        words.extend(words_of_line(content).into_iter().map(|word| Word { line, word }));
    }
    words
}

/// Splits a line into words, stops and pauses.
pub(super) fn words_of_line(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars().chain([' ']).peekable();
    while let Some(char) = chars.next() {
        if char.is_alphanumeric() || ['\'', '-', '_'].contains(&char) {
            word.extend(char.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        let is_last = chars.peek().is_none_or(|next| next.is_whitespace());
        if ".!?".contains(char) && is_last {
            words.push(STOP.to_owned());
        } else if ".,;:!?()|".contains(char) {
            words.push(PAUSE.to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{only_comments, words, words_of_line};

    #[test]
    fn only_lines_of_comments_stay() {
        let source = "//! Why.\n\nlet a = \"// no\"; // behind\n    /// More,\n    // and more\n";
        assert_eq!(only_comments(source), " Why.\n\n\n More,\n and more\n");
    }

    #[test]
    fn a_paragraph_begins_with_a_stop_and_goes_on_over_lines() {
        let found = words("One (two)\nThree.\n\nfour");
        let lines: Vec<usize> = found.iter().map(|word| word.line).collect();
        let words: Vec<&str> = found.iter().map(|word| word.word.as_str()).collect();
        assert_eq!(words, [".", "one", ",", "two", ",", "three", ".", ".", "four"]);
        assert_eq!(lines, [1, 1, 1, 1, 1, 2, 2, 4, 4]);
    }

    #[test]
    fn names_are_words() {
        assert_eq!(
            words_of_line("`sk_drops` can't re-read 0.5"),
            ["sk_drops", "can't", "re-read", "0", ",", "5"]
        );
    }
}
