//! Tests that every `--option` in the documentation and in messages exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};

use crate::cli::Args;

/// Options of other programs, on lines that do not name the program.
const OTHERS: [&str; 6] = ["all", "features", "kernel", "lib", "network", "nocapture"];

/// Programs whose options are not ours.
const PROGRAMS: [&str; 8] = [
    "cargo ",
    "curl ",
    "docker run",
    "podman run",
    "setpriv ",
    "systemctl",
    "systemd-analyze",
    "xtask",
];

fn add(command: &Command, names: &mut BTreeSet<String>) {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    names.extend(shown.filter_map(|argument| Some(argument.get_long()?.to_owned())));
    command.get_subcommands().for_each(|command| add(command, names));
}

/// The options that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    // `var(--soft)` is CSS; `a--b` and `---` are not options.
    let begins = |index: &usize| {
        let before = &line[..*index];
        !before.ends_with("var(")
            && !before.ends_with(|char: char| char.is_ascii_alphanumeric() || char == '-')
    };
    line.match_indices("--").map(|(index, _)| index).filter(begins).filter_map(|index| {
        let name = &line[index + 2..];
        let end = name.find(|char: char| !char.is_ascii_lowercase() && char != '-');
        let name = name[..end.unwrap_or(name.len())].trim_end_matches('-');
        name.starts_with(|char: char| char.is_ascii_lowercase()).then_some(name)
    })
}

/// The files below a folder that end in this, without tests.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if name.starts_with("tests") || name == "named_options.rs" {
            continue;
        }
        if path.is_dir() {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn every_option_that_is_named_exists() {
    let mut names: BTreeSet<String> = BTreeSet::from(["help".into(), "version".into()]);
    add(&Args::command(), &mut names);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = vec![root.join("README.md")];
    files(&root.join("docs"), ".md", &mut all);
    files(&root.join("backlog-user/src"), ".rs", &mut all);
    files(&root.join("backlog-user/core/src"), ".rs", &mut all);
    assert!(all.len() > 100, "{all:?}");
    let mut wrong = Vec::new();
    for file in all {
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests may name options that do not exist.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        // A command on a page may wrap to the next line, or to several after a backslash.
        let (mut goes_on, mut was_theirs) = (false, false);
        for (number, line) in (1..).zip(text.lines()) {
            let is_theirs = PROGRAMS.iter().any(|program| line.contains(program));
            let skips = is_theirs || was_theirs;
            goes_on = line.ends_with('\\') && (is_theirs || goes_on);
            was_theirs = is_theirs || goes_on;
            if skips {
                continue;
            }
            let unknown = named(line).filter(|name| !names.contains(*name));
            let unknown = unknown.filter(|name| !OTHERS.contains(name));
            let place = |name| format!("{}:{number}: --{name}", file.display());
            wrong.extend(unknown.map(place));
        }
    }
    assert!(wrong.is_empty(), "no such options:\n{}", wrong.join("\n"));
}

#[test]
fn options_are_found_in_a_line() {
    let found: Vec<_> =
        named("a --ring or `--drop-records`, (--cmd=x) var(--soft) a--b ---- --").collect();
    assert_eq!(found, ["ring", "drop-records", "cmd"]);
}
