//! Validates the files of Prometheus and the Alertmanager with their own tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Outcome;
use crate::monitoring::tested::SCALE;
use crate::monitoring::times::Scale;
use crate::monitoring::{Params, RULES, tools, write_files};
use crate::{paths, process};

/// Checks the rules, with the normal scale and with that of the guest tests.
pub(super) fn rules() -> Result<Outcome> {
    let scaled = tempfile::tempdir()?;
    write_files(scaled.path(), &Params { scale: Scale::new(SCALE)?, ..Params::default() })?;
    run("promtool", &["check", "rules"], &folder().join(RULES))?;
    run("promtool", &["check", "rules"], &scaled.path().join("prometheus").join(RULES))?;
    Ok(Outcome::Passed(format!("as written, and at a scale of {SCALE}")))
}

/// Runs the unit tests of the rules.
pub(super) fn unit_tests() -> Result<Outcome> {
    run("promtool", &["test", "rules"], &folder().join("backlog-rules-test.yml"))
}

/// Checks the example configuration of Prometheus.
pub(super) fn config() -> Result<Outcome> {
    run("promtool", &["check", "config"], &folder().join("prometheus.yml"))
}

/// Checks the example configuration of the Alertmanager.
pub(super) fn alertmanager() -> Result<Outcome> {
    run("amtool", &["check-config"], &folder().join("alertmanager.yml"))
}

fn folder() -> PathBuf {
    paths::root().join("packaging/prometheus")
}

fn run(program: &str, args: &[&str], file: &Path) -> Result<Outcome> {
    let tool = match tools::obtain(program) {
        Ok(tool) => tool,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let version = process::output(Command::new(&tool).arg("--version"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    process::run(Command::new(&tool).args(args).arg(file))?;
    Ok(Outcome::Passed(version.split(" (").next().unwrap_or_default().replace("version ", "")))
}
