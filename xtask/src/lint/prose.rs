//! The language of what users read: a list of banned phrases
//! (`banned.txt`) over the pages and the help texts, and spelling.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// Phrases that read like a translation, one a line.
const BANNED: &str = include_str!("banned.txt");

/// The pages that are checked. The other pages of docs/ still have to be rewritten.
const PAGES: [&str; 4] =
    ["README.md", "docs/GUIDE.md", "docs/REQUIREMENTS.md", "docs/dev/CONTRIBUTING.md"];

/// Where the texts of `--help` are kept.
const HELP: &str = "backlog-user/src/snapshots";

/// A phrase that is banned, and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Found<'text> {
    line: usize,
    phrase: &'text str,
}

/// Fails if a page or a help text has a banned phrase.
pub(super) fn check() -> Result<()> {
    let mut found = Vec::new();
    for path in files()? {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(paths::root()).unwrap_or(&path).display().to_string();
        found.extend(
            banned(&text, BANNED)
                .into_iter()
                .map(|Found { line, phrase }| format!("\n  {name}:{line}: \"{phrase}\"")),
        );
    }
    if !found.is_empty() {
        bail!("banned phrases (xtask/src/lint/banned.txt):{}", found.concat());
    }
    Ok(())
}

/// The spelling of the same files.
pub(super) fn spelling() -> Command {
    let mut command = Command::new("codespell");
    command.current_dir(paths::root()).args(files().unwrap_or_default());
    command
}

fn files() -> Result<Vec<PathBuf>> {
    let root = paths::root();
    let mut files: Vec<PathBuf> = PAGES.iter().map(|page| root.join(page)).collect();
    let folder = root.join(HELP);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let is_help = |path: &Path| path.to_string_lossy().contains("cli__tests");
    let mut help: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_help(path)).collect();
    help.sort();
    files.append(&mut help);
    Ok(files)
}

/// The banned phrases of a text. A phrase counts as words, whatever its case.
fn banned<'list>(text: &str, list: &'list str) -> Vec<Found<'list>> {
    let phrases: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = words(line);
        for &phrase in phrases.iter().filter(|phrase| line.contains(&words(phrase))) {
            found.push(Found { line: index + 1, phrase });
        }
    }
    found
}

/// Lower-case words with one space around each.
fn words(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-');
    words.filter(|word| !word.is_empty()).fold(" ".to_owned(), |all, word| all + word + " ")
}

#[cfg(test)]
mod tests {
    use super::{Found, banned};

    #[test]
    fn a_phrase_counts_as_words() {
        let list = "# why\nis told\nso many";
        let text = "The user is\ntold.\nIt Is told, so manyfold.";
        assert_eq!(banned(text, list), [Found { line: 3, phrase: "is told" }]);
    }
}
