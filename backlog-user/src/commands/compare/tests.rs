//! Compares a recording with itself, and with an unrelated one.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::{json, recorded, text};
use crate::output::schema;

fn overload() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/replay/fixtures/overload.jsonl")
}

#[test]
fn a_run_against_itself_is_as_it_was() {
    let (mut before, mut after) =
        (recorded(&overload(), None).unwrap(), recorded(&overload(), None).unwrap());
    (before.file, after.file) = ("before.jsonl".into(), "after.jsonl".into());
    let said = text::render(&TimeZone::UTC, &before, &after);
    insta::assert_snapshot!("table", said);
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");
    let lines = json::render(&before, &after).unwrap();
    let kinds = schema::check_lines(&lines);
    assert!(kinds.contains("compare") && kinds.contains("address"), "{lines}");
    assert!(lines.contains("\"change\":\"as_many\""), "{lines}");
}

#[test]
fn one_that_is_cut_off_is_compared_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.jsonl");
    let whole = fs::read_to_string(overload()).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(&cut, lines[..lines.len() - 1].join("\n")).unwrap();
    let (before, after) = (recorded(&overload(), None).unwrap(), recorded(&cut, None).unwrap());
    assert!(!before.cut_off && after.cut_off);
    let said = text::render(&TimeZone::UTC, &before, &after);
    assert!(said.contains("it has no end"), "{said}");
}

#[test]
fn an_error_names_its_file() {
    let missing = Path::new("/nonexistent/run.zst");
    let error = format!("{:#}", recorded(missing, None).err().unwrap());
    assert!(error.starts_with("/nonexistent/run.zst: "), "{error}");
}
