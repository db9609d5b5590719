//! The measurements of each kernel, and the table of budget results. Pure.

use std::fmt::Write as _;

use super::budget::{FILE, Found, Verdict};
use super::rows::Rows;

/// The measurements of one kernel.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) series: String,
    pub(super) version: String,
    pub(super) rows: Rows,
    pub(super) verdicts: Vec<Verdict>,
}

/// Adds the table of budget results.
pub(super) fn render(text: &mut String, kernels: &[Measured]) {
    let Some(first) = kernels.first() else {
        return;
    };
    let _ = writeln!(text, "\n## Budgets\n\nFrom {FILE}; a cell is the ratio.\n");
    let heads: Vec<&str> = kernels.iter().map(|kernel| kernel.series.as_str()).collect();
    let _ = writeln!(text, "| | at most | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(heads.len()));
    let mut notes = Vec::new();
    for (place, Verdict { budget, .. }) in first.verdicts.iter().enumerate() {
        let found: Vec<&Found> = kernels
            .iter()
            .filter_map(|kernel| kernel.verdicts.get(place).map(|verdict| &verdict.found))
            .collect();
        let cells: Vec<String> = found.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| {} | {:.2} | {} |", budget.name, budget.most, cells.join(" | "));
        if let Some(why) = &budget.why
            && found.iter().any(|found| matches!(found, Found::NotReached { .. }))
        {
            notes.push(format!("- {}, not reached: {why}", budget.name));
        }
    }
    if !notes.is_empty() {
        let _ = writeln!(text, "\n{}", notes.join("\n"));
    }
}
