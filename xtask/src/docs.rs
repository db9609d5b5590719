//! `cargo xtask docs`: writes the docs that are generated from the code, by making the host tests
//! write them instead of comparing them.

use anyhow::Result;

use crate::{lint, process};

/// The variable that makes the tests write.
const UPDATE: &str = "BACKLOG_UPDATE_DOCS";

/// Writes docs/schema.json and the generated tables.
pub(crate) fn command() -> Result<u8> {
    let mut tests = lint::cargo(&["test", "-p", "backlog-user", "--lib", "docs::"]);
    process::run(tests.env(UPDATE, "1"))?;
    Ok(0)
}
