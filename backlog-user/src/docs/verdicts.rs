//! The table of docs/SIZING.md.

use std::fmt::Write as _;

use backlog_core::model::sizing::Verdict;

/// The verdicts, in the order in which they are tested.
pub(super) fn table() -> String {
    let mut text = "| verdict | when | what to do |\n|---|---|---|\n".to_owned();
    for verdict in Verdict::AS_TESTED {
        let (name, when, remedy) = (verdict.name(), verdict.when(), verdict.remedy());
        let _ = writeln!(text, "| `{name}` | {when} | {remedy} |");
    }
    text
}
