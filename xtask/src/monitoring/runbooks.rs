//! Updates docs/ALERTS.md: the table of alerts is generated, while the runbooks below it are
//! written by hand.

use anyhow::{Context as _, Result};

use super::alerts::{self, Alert};
use super::rules::RUNBOOKS;
use super::{Params, words};
use crate::pages;

const BEGIN: &str = "<!-- generated: alerts -->\n";
const END: &str = "<!-- end -->";

/// Writes the table into the page.
pub(super) fn update() -> Result<()> {
    pages::publish(RUNBOOKS, &with_table(&pages::current(RUNBOOKS)?)?, false)
}

/// The page with a new table.
pub(super) fn with_table(page: &str) -> Result<String> {
    let marker = || format!("{RUNBOOKS} has no {} ... {END}", BEGIN.trim());
    let (before, rest) = page.split_once(BEGIN).with_context(marker)?;
    let (_, after) = rest.split_once(END).with_context(marker)?;
    let rows: String = alerts::all().map(row).collect();
    Ok(format!(
        "{before}{BEGIN}\n| alert | severity | after | summary |\n|---|---|---|---|\n{rows}\n{END}{after}"
    ))
}

fn row(alert: &Alert) -> String {
    let params = Params::default();
    let Alert { name, severity, hold, .. } = alert;
    let hold = params.scale.fill(hold);
    let hold = if hold.is_empty() { "at once" } else { &hold };
    let summary = words::plain(alert.summary, &params);
    let anchor = name.to_lowercase();
    format!("| [{name}](#{anchor}) | {} | {hold} | {summary} |\n", severity.name())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{RUNBOOKS, alerts, with_table};
    use crate::paths;

    #[test]
    fn each_alert_has_a_runbook_and_a_row() {
        let page = fs::read_to_string(paths::root().join(RUNBOOKS)).unwrap();
        assert!(with_table(&page).unwrap() == page, "{RUNBOOKS}: run `cargo xtask monitoring`");
        for alert in alerts::all() {
            let heading = format!("\n### {}\n", alert.name);
            let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("{heading}"));
            let section = section.split("\n### ").next().unwrap();
            for part in ["**Meaning.**", "**Check.**", "**Remedy.**"] {
                assert!(section.contains(part), "{}: no {part}", alert.name);
            }
        }
        let sections = page.matches("\n### ").count();
        assert_eq!(sections, alerts::all().count(), "a runbook of an alert that is gone");
    }
}
