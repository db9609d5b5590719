//! Checks the unit and its drop-ins with systemd's tools, without running them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::Outcome;
use crate::{paths, process};

const UNIT: &str = "backlog-trace.service";
/// The path of the binary in the unit, and a replacement, since `verify` requires an existing
/// program.
const BINARY: (&str, &str) = ("/usr/local/bin/backlog-trace", "/bin/true");

/// The variants with their drop-ins, and the highest exposure that `systemd-analyze security` may
/// report, in tenths.
const VARIANTS: [(&str, &[&str], u32); 3] = [
    ("all capabilities", &[], 28),
    ("two capabilities", &["minimal.conf"], 20),
    ("remote scrapes", &["remote-scrape.conf"], 28),
];

/// Checks that all keys and values are valid.
pub(super) fn verify() -> Result<Outcome> {
    each(|unit, _| {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]).arg(unit);
        process::announce(&verify);
        let output = process::output(&mut verify)?;
        // systemd only warns about an unknown key.
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !text.trim().is_empty() {
            bail!("{}", text.trim());
        }
        Ok(String::new())
    })
}

/// Checks that the exposure is not above the maximum.
pub(super) fn exposure() -> Result<Outcome> {
    each(|unit, most| {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=yes", "--no-pager"]).arg(unit);
        let text = process::capture(&mut security)?;
        let found = level(&text).context("systemd-analyze prints no exposure level")?;
        if found > most {
            bail!("exposure {found} tenths, more than {most}:\n{text}");
        }
        Ok(format!(" {}.{}", found / 10, found % 10))
    })
}

/// The exposure in tenths.
fn level(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.contains("Overall exposure level"))?;
    let number = line.split_once(": ")?.1.split_whitespace().next()?;
    let (whole, tenth) = number.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?)
}

/// Runs a check on each variant of the unit.
fn each(check: impl Fn(&Path, u32) -> Result<String>) -> Result<Outcome> {
    if paths::on_path("systemd-analyze").is_none() {
        return Ok(Outcome::Skipped("systemd is not installed".to_owned()));
    }
    let mut done = Vec::new();
    for (name, drop_ins, most) in VARIANTS {
        let (_folder, unit) = variant(drop_ins)?;
        done.push(format!("{name}{}", check(&unit, most).context(name)?));
    }
    Ok(Outcome::Passed(done.join(", ")))
}

/// The unit with some drop-ins, in a temporary folder.
fn variant(drop_ins: &[&str]) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let here = folder.path().join(format!("{UNIT}.d"));
    fs::create_dir(&here).with_context(|| format!("cannot create {}", here.display()))?;
    let unit = folder.path().join(UNIT);
    copy(UNIT, &unit)?;
    for drop_in in drop_ins {
        copy(drop_in, &here.join(drop_in))?;
    }
    Ok((folder, unit))
}

fn copy(name: &str, to: &Path) -> Result<()> {
    let from = paths::root().join("packaging/systemd").join(name);
    let text =
        fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let (binary, standin) = BINARY;
    fs::write(to, text.replace(binary, standin))
        .with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_level_is_read_in_tenths() {
        assert_eq!(level("x\n→ Overall exposure level for a.service: 2.8 OK"), Some(28));
        assert_eq!(level("nothing"), None);
    }
}
