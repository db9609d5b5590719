//! Checkers from the Python package index, in a virtual environment below target/.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{paths, process};

/// The packages, with the versions that the checks were written for.
const PACKAGES: [&str; 2] =
    ["kubernetes-validate==1.37.0", "grafana-foundation-sdk==1769699998!10.1.0"];

/// A program in the environment, which is created if necessary.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    let folder = paths::target().join("monitoring/python");
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        process::run(
            pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES),
        )?;
    }
    Ok(program)
}
