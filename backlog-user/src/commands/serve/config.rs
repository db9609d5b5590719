//! The options of `serve`: merges the command line with `--config`, and reloads them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail};
use backlog_core::metrics::Bounds;
use clap::Parser as _;

use crate::cli::{self, Args, Command, ServeArgs};

/// The limits on what is shown, which the sink reads at each interval.
pub(super) type SharedBounds = Arc<Mutex<Bounds>>;

/// The current limits.
pub(super) fn read(shared: &SharedBounds) -> Bounds {
    *shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module documentation.
pub(super) struct Config {
    args: ServeArgs,
    file: Option<PathBuf>,
    bounds: SharedBounds,
}

impl Config {
    /// Adds the options of the configuration file to those of the command line.
    pub(super) fn read(typed: ServeArgs) -> Result<Self> {
        let file = typed.config.clone();
        let args = file.as_deref().map_or(Ok(typed), with_file)?;
        let bounds = Arc::new(Mutex::new(args.bounds()?));
        Ok(Self { args, file, bounds })
    }

    /// The options.
    pub(super) fn args(&self) -> &ServeArgs {
        &self.args
    }

    /// The limits that [`Config::reload`] changes.
    pub(super) fn bounds(&self) -> SharedBounds {
        Arc::clone(&self.bounds)
    }

    /// Reads the file again. Returns the result for the log.
    pub(super) fn reload(&mut self) -> Result<&'static str> {
        let Some(file) = &self.file else {
            return Ok("SIGHUP: there is no --config to read again");
        };
        let args = with_file(file)?;
        // Validate everything before changing anything.
        let bounds = args.bounds()?;
        args.options()?;
        let now = self.args.with_bounds_of(&args);
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        let text = if now == args {
            "SIGHUP: the configuration is in use"
        } else {
            "SIGHUP: --max-listeners, --keep-closed, --min-age and --peak-window are in use; \
             restart the service for the other changes"
        };
        self.args = now;
        Ok(text)
    }
}

/// Parses the options of the file, followed by those of the command line, which override them.
fn with_file(file: &Path) -> Result<ServeArgs> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--config: cannot read {}", file.display()))?;
    let words = cli::serve::words(&text)
        .map_err(|why| anyhow!("--config: {}: {}", file.display(), why.trim_end()))?;
    let mut line: Vec<OsString> = std::env::args_os().collect();
    // Insert after the names of the program and the command.
    let begin = line.len().min(2);
    line.splice(begin..begin, words.into_iter().map(OsString::from));
    let parsed = Args::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let text = text.trim_start_matches("error: ");
        let first = text.split("\n\n").next().unwrap_or(text);
        anyhow!("--config: {}: {}", file.display(), first.trim_end())
    })?;
    match parsed.command {
        Some(Command::Serve(args)) => Ok(*args),
        _ => bail!("--config: {} does not hold options of `serve`", file.display()),
    }
}
