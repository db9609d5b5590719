//! Checks dependencies with `cargo deny` and deny.toml: licences, sources, duplicate versions, and
//! known vulnerabilities if the database can be downloaded.

use anyhow::{Result, bail};

use super::{cargo, with_tool};
use crate::process;

/// The error of `cargo deny` if it cannot download the database.
const NO_DATABASE: &str = "failed to fetch advisory database";

/// Fails if deny.toml does not permit a dependency.
pub(super) fn check() -> Result<()> {
    let probe = || cargo(&["deny", "--version"]);
    with_tool(
        &mut probe(),
        &mut cargo(&["deny", "--log-level=error", "check", "bans", "licenses", "sources"]),
        "dependencies (cargo install --locked cargo-deny)",
    )?;
    if process::works(&mut probe()) { advisories() } else { Ok(()) }
}

fn advisories() -> Result<()> {
    let output = process::output(&mut cargo(&["deny", "check", "advisories"]))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains(NO_DATABASE) {
        process::say("not checked: advisories (their database cannot be reached)");
    } else if !output.status.success() {
        bail!("dependencies with advisories:\n{text}");
    }
    Ok(())
}
