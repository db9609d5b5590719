//! The table of docs/REQUIREMENTS.md, which docs/SECURITY.md refers to.

use std::fmt::Write as _;

use crate::rights::table::FEATURES;

/// Which capabilities each feature needs.
pub(super) fn features() -> String {
    let mut text = "| needed to | option | capabilities | kept for | without them |\n\
                    |---|---|---|---|---|\n"
        .to_owned();
    for feature in FEATURES {
        let names: Vec<&str> = feature.capabilities.iter().map(|one| one.name()).collect();
        let option = feature.run.option();
        let option = if option.is_empty() { String::new() } else { format!("`{option}`") };
        let _ = writeln!(
            text,
            "| {} | {option} | {} | {} | {} |",
            feature.name,
            names.join(", "),
            feature.until.word(),
            feature.without
        );
    }
    text
}
