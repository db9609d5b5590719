//! Where a program's truth goes: one JSON object, alone on stdout or in a
//! file. Everything else a program says goes to stderr.

use std::fs;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes `truth` as one line to `file`, or to stdout without one.
///
/// # Errors
/// When it cannot be written; a reader that went away is no error.
pub fn write_truth<T: Serialize>(truth: &T, file: Option<&Path>) -> Result<()> {
    let mut line = serde_json::to_string(truth).context("cannot express the truth as JSON")?;
    line.push('\n');
    let Some(path) = file else {
        return match stdout().lock().write_all(line.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to stdout")
            }
            _ => Ok(()),
        };
    };
    // By rename, so that whoever waits for the file never reads half of it.
    let part = path.with_extension("part");
    fs::write(&part, line).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot create {}", path.display()))
}
