//! Checks the links between pages: each must refer to an existing file, and to an existing heading.

use std::path::Path;

use anyhow::{Result, bail};

use super::text::{self, Text};
use crate::paths;

/// Fails if a link is broken.
pub(super) fn check() -> Result<()> {
    let pages = text::pages()?;
    let mut wrong = Vec::new();
    for Text { name, content } in &pages {
        for (line, target) in links(content) {
            if !leads_somewhere(&pages, name, target) {
                wrong.push(format!("\n  {name}:{line}: {target}"));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("links that lead nowhere:{}", wrong.concat());
    }
    Ok(())
}

/// The targets of Markdown links within the project, each with its line.
fn links(content: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in content.lines().enumerate() {
        let targets = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        let own = targets.filter(|target| !target.contains("://"));
        found.extend(own.map(|target| (index + 1, target)));
    }
    found
}

/// Do the file and its heading exist?
fn leads_somewhere(pages: &[Text], from: &str, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !paths::root().join(&file).exists() {
        return false;
    }
    heading.is_empty()
        || pages
            .iter()
            .find(|page| page.name == file)
            .is_some_and(|page| anchors(&page.content).any(|anchor| anchor == heading))
}

/// Resolves a path relative to the page that contains it.
fn resolve(from: &str, target: &str) -> String {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of headings, as GitHub generates them, and those that a page defines itself.
fn anchors(content: &str) -> impl Iterator<Item = String> {
    let headings = content.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    });
    let set = content.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    headings.chain(set.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::{anchors, leads_somewhere, links, resolve};
    use crate::lint::text::Text;

    #[test]
    fn links_to_other_sites_are_left_out() {
        let page = "[a](b.md) and [c](d.md#e)\n[f](https://g.h)";
        assert_eq!(links(page), [(1, "b.md"), (1, "d.md#e")]);
    }

    #[test]
    fn a_target_is_relative_to_its_page() {
        assert_eq!(resolve("README.md", "docs/A.md"), "docs/A.md");
        assert_eq!(resolve("docs/dev/A.md", "../measured/B.md"), "docs/measured/B.md");
    }

    #[test]
    fn a_heading_is_an_anchor() {
        let page = "# The queue's `limit`, again\n| <a id=\"id\"></a>`id` |\n## One-two";
        let found: Vec<String> = anchors(page).collect();
        assert_eq!(found, ["the-queues-limit-again", "one-two", "id"]);
    }

    #[test]
    fn a_link_needs_its_file_and_its_heading() {
        let page = Text { name: "README.md".into(), content: "# One".into() };
        let leads = |target| leads_somewhere(std::slice::from_ref(&page), "README.md", target);
        assert!(leads("#one") && leads("README.md") && leads("docs"));
        assert!(!leads("#two") && !leads("docs/NOT.md"));
    }
}
