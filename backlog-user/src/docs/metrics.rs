//! The tables of docs/METRICS.md.

use std::fmt::Write as _;

use backlog_core::metrics::FAMILIES;

/// The metrics of each listener, or all others, by the name used in queries.
pub(super) fn table(of_listener: bool) -> String {
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES.iter().filter(|family| family.of_listener == of_listener) {
        let (name, kind) = (family.name, family.kind);
        let (suffix, labels, help) = (kind.suffix(), family.labels, family.help);
        let _ = writeln!(text, "| `{name}{suffix}` | {} | {labels} | {help} |", kind.name());
    }
    text
}
