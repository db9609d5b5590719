//! Builds the overlays with kustomize, and validates them against the schemas of Kubernetes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Outcome, python};
use crate::monitoring::tools;
use crate::{paths, process};

/// The overlays, and the capabilities that each one adds.
const OVERLAYS: [(&str, &[&str]); 4] = [
    ("minimal", &["BPF", "PERFMON"]),
    ("owners", &["BPF", "PERFMON", "SYS_PTRACE"]),
    ("full", &["BPF", "PERFMON", "SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH"]),
    ("full-operator", &["BPF", "PERFMON", "SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH"]),
];

/// The minor versions of Kubernetes 1 to validate with: the package has no later ones.
const VERSIONS: std::ops::RangeInclusive<u32> = 28..=37;

/// Objects whose schemas are not in the package.
const FOREIGN: &str = "apiVersion: monitoring.coreos.com/";

/// Builds and validates every overlay.
pub(super) fn overlays() -> Result<Outcome> {
    let kustomize = match tools::obtain("kustomize") {
        Ok(kustomize) => kustomize,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let validate = match python::program("kubernetes-validate") {
        Ok(validate) => validate,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let mut objects = 0;
    for (overlay, capabilities) in OVERLAYS {
        let path = paths::root().join("packaging/kubernetes/overlays").join(overlay);
        let built = process::capture(Command::new(&kustomize).arg("build").arg(path))?;
        let added = added(&built);
        if added != capabilities {
            bail!("{overlay} adds {added:?} and not {capabilities:?}");
        }
        objects += built.split("\n---\n").count();
        schemas(&validate, &built, &folder.path().join(format!("{overlay}.yaml")))?;
    }
    let (first, last) = (VERSIONS.start(), VERSIONS.end());
    Ok(Outcome::Passed(format!(
        "{objects} objects of {} overlays, Kubernetes 1.{first} to 1.{last}",
        OVERLAYS.len()
    )))
}

/// Validates with the schemas of every version.
fn schemas(validate: &Path, built: &str, file: &Path) -> Result<()> {
    let own: Vec<&str> =
        built.split("\n---\n").filter(|object| !object.contains(FOREIGN)).collect();
    fs::write(file, own.join("\n---\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    for minor in VERSIONS {
        let mut command = Command::new(validate);
        command.args(["--strict", "--quiet", "-k", &format!("1.{minor}")]).arg(file);
        process::capture(&mut command)?;
    }
    Ok(())
}

/// The capabilities that a container adds.
fn added(built: &str) -> Vec<&str> {
    let lines = built.lines().skip_while(|line| line.trim() != "add:").skip(1);
    lines.map_while(|line| line.trim().strip_prefix("- ")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{OVERLAYS, added};
    use crate::paths;

    #[test]
    fn the_table_of_the_docs_has_these_capabilities() {
        let page = fs::read_to_string(paths::root().join("docs/DEPLOY.md")).unwrap();
        for (overlay, capabilities) in OVERLAYS {
            let row = format!("| `{overlay}` | {} |", capabilities.join(", "));
            assert!(page.contains(&row), "docs/DEPLOY.md lacks: {row}");
        }
    }

    #[test]
    fn the_added_capabilities_are_found() {
        let built = "capabilities:\n  add:\n  - BPF\n  - PERFMON\n  drop:\n  - ALL\n";
        assert_eq!(added(built), ["BPF", "PERFMON"]);
        assert!(added("drop:\n- ALL\n").is_empty());
    }
}
