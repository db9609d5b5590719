//! The pages of docs/ that a command writes from what it measured.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{paths, process};

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
