//! Synchronises a program with its observer: one creates a file when it is ready, the other waits
//! until the file exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::clock::{parse_time, wait_until};

/// The options for this, the same in both programs.
#[derive(Args, Clone, Debug)]
pub struct Handshake {
    /// Create this file once the server listens
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Start the clients only when this file exists
    #[arg(long, value_name = "PATH")]
    pub wait_for_file: Option<PathBuf>,
    /// Longest time to wait for that file
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    pub wait_limit: Duration,
}

impl Handshake {
    /// Reports that it is ready, then waits for the signal to start.
    ///
    /// # Errors
    /// When the file cannot be created, or the other one does not appear.
    pub fn meet(&self) -> Result<()> {
        if let Some(path) = &self.ready_file {
            fs::write(path, "ready\n")
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        match &self.wait_for_file {
            Some(path) => wait_for_file(path, self.wait_limit),
            None => Ok(()),
        }
    }
}

/// Waits until `path` exists.
///
/// # Errors
/// When it does not within `limit`.
pub fn wait_for_file(path: &Path, limit: Duration) -> Result<()> {
    let what = format!("{} to appear", path.display());
    wait_until(&what, limit, || Ok(path.exists()))
}
