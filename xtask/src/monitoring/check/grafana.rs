//! Validates the dashboards with Grafana's SDK, since Debian has no Grafana that could render them.

use std::process::Command;

use anyhow::Result;

use super::{Outcome, python};
use crate::monitoring::dashboards;
use crate::{paths, process};

/// A script that reads a dashboard and writes it again.
const SCRIPT: &str = include_str!("grafana.py");

/// Checks that the SDK knows every field.
pub(super) fn dashboards() -> Result<Outcome> {
    let python = match python::program("python3") {
        Ok(python) => python,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let folder = paths::root().join("packaging/grafana");
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]);
    command.args(dashboards::ALL.map(|page| folder.join(format!("{}.json", page.uid))));
    process::capture(&mut command)?;
    Ok(Outcome::Passed(format!("{} dashboards", dashboards::ALL.len())))
}
