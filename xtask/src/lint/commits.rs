//! Checks commit messages: `area: imperative`, at most 72 characters.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{paths, process};

/// The last commit before this rule.
const BEFORE: &str = "d5a831bc";

/// The maximum length of a subject.
const LONGEST: usize = 72;

/// Checks every commit since the rule was introduced; skipped without that part of the history.
pub(super) fn check() -> Result<()> {
    let mut git = Command::new("git");
    let range = format!("{BEFORE}..HEAD");
    git.current_dir(paths::root()).args(["log", "--no-merges", "--format=%h %s", &range]);
    let output = match git.output() {
        Ok(output) if output.status.success() => output,
        _ => {
            process::say(&format!("not checked: commit messages (no history back to {BEFORE})"));
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let (_, subject) = line.split_once(' ')?;
            fault(subject).map(|fault| format!("\n  {line}: {fault}"))
        })
        .collect();
    if !wrong.is_empty() {
        bail!("commit messages (area: imperative, at most {LONGEST}):{}", wrong.concat());
    }
    Ok(())
}

/// The fault of a subject, if any.
fn fault(subject: &str) -> Option<&'static str> {
    let area = subject.split_once(": ").map(|(area, _)| area);
    let is_area = |area: &str| {
        !area.is_empty()
            && area
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/, ".contains(c))
    };
    if !area.is_some_and(is_area) {
        Some("no area")
    } else if subject.chars().count() > LONGEST {
        Some("too long")
    } else if subject.ends_with('.') {
        Some("ends with a full stop")
    } else if !subject.split_once(": ").is_some_and(|(_, text)| is_imperative(text)) {
        Some("does not begin with an imperative")
    } else {
        None
    }
}

/// Does it look like an imperative? `add`, but not `adds`, `added`, `adding` or `The`.
fn is_imperative(text: &str) -> bool {
    let verb = text.split(' ').next().unwrap_or_default();
    let has_other_form = match verb {
        "bring" | "embed" | "exceed" | "feed" | "focus" | "need" | "proceed" | "seed" | "shed"
        | "speed" | "spread" | "string" => false,
        _ => {
            verb.ends_with("ing")
                || verb.ends_with("ed")
                || (verb.ends_with('s') && !verb.ends_with("ss"))
        }
    };
    verb.starts_with(|first: char| first.is_ascii_lowercase()) && !has_other_form
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_subject_has_an_area_and_fits() {
        assert_eq!(fault("sizing: fix over-estimate for busy acceptors"), None);
        assert_eq!(fault("What stood twice in the last changes: gone"), Some("no area"));
        assert_eq!(fault("cli: rewrite the help."), Some("ends with a full stop"));
        assert_eq!(fault("cli, docs: pass the width on"), None);
        assert_eq!(fault(&format!("cli: {}", "x".repeat(67))), None);
        assert_eq!(fault(&format!("cli: {}", "x".repeat(68))), Some("too long"));
    }

    #[test]
    fn a_subject_commands() {
        for text in ["adds a row", "added a row", "adding a row", "The row", "`row` is new"] {
            let fault = fault(&format!("cli: {text}"));
            assert_eq!(fault, Some("does not begin with an imperative"), "{text}");
        }
        for text in ["add a row", "seed the queue", "press on", "split what is long"] {
            assert_eq!(fault(&format!("cli: {text}")), None, "{text}");
        }
    }
}
