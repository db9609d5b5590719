//! Saves the kernel's console for troubleshooting, and limits the number of logs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::kernels::Kernel;
use crate::paths;

/// A console log with a unique name.
pub(crate) struct ConsoleLog {
    pub(crate) path: PathBuf,
}

impl ConsoleLog {
    /// Creates the file; of the earlier ones, the newest 50 are kept.
    pub(crate) fn new(kernel: &Kernel) -> Result<Self> {
        let dir = paths::console_logs();
        let kernel = kernel.name.rsplit('/').next().unwrap_or_default();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        remove_all_but_newest(&dir, 50);
        let file = tempfile::Builder::new()
            .prefix(&format!("{kernel}-"))
            .suffix(".log")
            .tempfile_in(&dir)
            .with_context(|| format!("cannot create a file in {}", dir.display()))?;
        let (_, path) = file.keep().context("cannot keep the console log")?;
        Ok(Self { path })
    }

    /// A writer for the console.
    pub(crate) fn writer(&self) -> Result<fs::File> {
        fs::File::create(&self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(30);
        let tail = lines.iter().skip(from);
        let tail: Vec<String> = tail.map(|line| format!("console: {line}\n")).collect();
        tail.concat()
    }
}

/// Best effort, since another xtask may be doing the same.
fn remove_all_but_newest(dir: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut logs: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    logs.sort();
    let surplus = logs.len().saturating_sub(keep);
    for (_, path) in logs.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}
