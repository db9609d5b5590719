//! The dashboards as Grafana's own SDK reads them. Debian has no Grafana that could draw them.

use std::process::Command;

use anyhow::Result;

use super::{Outcome, python};
use crate::monitoring::dashboards;
use crate::{paths, process};

/// Reads a dashboard and writes it again.
const SCRIPT: &str = include_str!("grafana.py");

/// Does the SDK know every field?
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
