//! `backlog-trace explain`: explains a name in the output: its meaning, how it is determined, and
//! what to do. The texts come from the tables that the docs are generated from.

mod entries;

use std::io::{self, Write as _};

use anyhow::{Result, bail};

use self::entries::Entry;
use crate::cli::mistyped::nearest;
use crate::exit::Outcome;
use crate::output::text_block::TextBlock;

/// The column where texts begin.
const INDENT: usize = 13;

/// Explains a name, or lists all names.
pub(crate) fn run(name: Option<&str>) -> Result<Outcome> {
    let text = match name {
        None => list(&entries::all()),
        Some(name) => explain(name, &entries::all())?,
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// Explains all entries with this name: a column and a finding may share one.
fn explain(name: &str, entries: &[Entry]) -> Result<String> {
    let name = name.trim();
    let found: Vec<&Entry> =
        entries.iter().filter(|entry| entry.name.eq_ignore_ascii_case(name)).collect();
    if found.is_empty() {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        let hint = nearest(name, &names)
            .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        bail!("nothing is called `{name}`: {hint}`backlog-trace explain` lists all names");
    }
    let mut text = TextBlock::default();
    for (place, entry) in found.into_iter().enumerate() {
        if place > 0 {
            text.blank();
        }
        text.title(&format!("{}: {}", entry.name, entry.kind.words()));
        for (label, part) in &entry.parts {
            text.labelled(&format!("  {label:<11}"), INDENT, &plain(part));
        }
    }
    Ok(text.into_text())
}

/// Lists the names by kind.
fn list(entries: &[Entry]) -> String {
    let mut text = TextBlock::default();
    text.item(0, "backlog-trace explain NAME explains one of these:");
    for kind in entries::Kind::ALL {
        let of_kind = entries.iter().filter(|entry| entry.kind == kind);
        let names: Vec<&str> = of_kind.map(|entry| entry.name).collect();
        text.heading(kind.plural());
        text.item(2, &names.join(", "));
    }
    text.into_text()
}

/// Removes the Markdown of a documentation text.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::{entries, explain, list};

    #[test]
    fn a_cause_is_explained_with_what_to_do() {
        insta::assert_snapshot!(explain("Last_Quarter", &entries::all()).unwrap());
    }

    #[test]
    fn every_name_is_listed_and_explained() {
        let all = entries::all();
        let list = list(&all);
        for entry in &all {
            assert!(list.contains(entry.name), "{}", entry.name);
            let text = explain(entry.name, &all).unwrap();
            assert!(text.contains(entry.kind.words()), "{text}");
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        }
    }

    #[test]
    fn a_name_of_several_things_has_all_of_them() {
        let text = explain("depth", &entries::all()).unwrap();
        assert!(text.contains("column of the table") && text.contains("column of CSV"), "{text}");
    }

    #[test]
    fn a_mistyped_name_has_a_suggestion() {
        let error = explain("accept_queue_full_sin", &entries::all()).unwrap_err().to_string();
        assert!(error.contains("did you mean `accept_queue_full_syn`?"), "{error}");
        let error = explain("xyz", &entries::all()).unwrap_err().to_string();
        assert!(error.starts_with("nothing is called `xyz`: `backlog-trace explain`"), "{error}");
    }
}
