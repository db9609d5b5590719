//! Generates documentation from the code (tests only): docs/schema.json, and the tables between
//! markers in other pages. A test fails if they differ from the code; `cargo xtask docs` writes
//! them.

mod causes;
mod fields;
mod metrics;
mod rights;
mod schema;
mod verdicts;

use std::fs;
use std::path::PathBuf;

/// Set to write the docs instead of comparing them.
const UPDATE: &str = "BACKLOG_UPDATE_DOCS";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// Compares a file in docs/ with the text generated from the code, or writes it.
fn hold(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let same = fs::read_to_string(&path).unwrap() == text;
    assert!(same, "docs/{name} differs from the code: run `cargo xtask docs`");
}

/// The same for the parts of a file between `<!-- generated: NAME -->` and `<!-- end -->`.
fn hold_blocks(name: &str, blocks: &[(&str, String)]) {
    let mut text = fs::read_to_string(path(name)).unwrap();
    for (block, content) in blocks {
        let begin = format!("<!-- generated: {block} -->\n");
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{name}: {block}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        text = format!("{before}{begin}\n{content}\n<!-- end -->{after}");
    }
    hold(name, &text);
}

#[test]
fn the_schema_is_that_of_the_lines() {
    hold("schema.json", &(schema::text(&schema::schema(), 0) + "\n"));
}

#[test]
fn the_tables_of_json_are_those_of_the_lines() {
    let schema = schema::schema();
    hold_blocks(
        "JSON.md",
        &[
            ("trace", fields::lines(&schema, schema::TRACE)),
            ("listeners", fields::lines(&schema, schema::LISTENERS)),
            ("doctor", fields::lines(&schema, schema::DOCTOR)),
            ("compare", fields::lines(&schema, schema::COMPARE)),
            ("objects", fields::objects(&schema)),
            ("values", fields::values(&schema)),
            ("csv", fields::columns(&crate::output::csv::columns())),
            ("listeners-csv", fields::columns(&crate::commands::listeners::csv::columns())),
        ],
    );
}

#[test]
fn the_tables_of_the_guide_are_those_of_the_rows() {
    let columns = fields::columns(&crate::output::table::columns::columns());
    hold_blocks("GUIDE.md", &[("columns", columns), ("remedies", causes::remedies())]);
}

#[test]
fn the_verdicts_of_sizing_are_those_of_the_code() {
    hold_blocks("SIZING.md", &[("verdicts", verdicts::table())]);
}

#[test]
fn the_tables_of_metrics_are_those_of_the_families() {
    let tables = [("listener", metrics::table(true)), ("others", metrics::table(false))];
    hold_blocks("METRICS.md", &tables);
}

#[test]
fn the_capabilities_of_requirements_are_those_of_the_features() {
    hold_blocks("REQUIREMENTS.md", &[("features", rights::features())]);
}

#[test]
fn the_tables_of_causes_are_those_of_the_rows() {
    hold_blocks(
        "CAUSES.md",
        &[
            ("causes", causes::causes()),
            ("side-events", causes::side_events()),
            ("counters", causes::counters()),
        ],
    );
}
