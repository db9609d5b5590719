//! The pages of docs/ that commands write from their measurements.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{paths, process};

/// The current content of a page.
pub(crate) fn current(page: &str) -> Result<String> {
    let file = paths::root().join(page);
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Writes a page, or prints it instead.
pub(crate) fn publish(page: &str, text: &str, print: bool) -> Result<()> {
    if print {
        print!("{text}");
        return Ok(());
    }
    let file = paths::root().join(page);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    process::say(&format!("written: {page}"));
    Ok(())
}
