//! Finds the programs that read these files, either on this machine or in Debian packages that are
//! unpacked next to the kernels without being installed.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::tree::{self, Wanted};

const FOLDER: &str = "monitoring";

const TOOLS: Wanted<'_> = Wanted {
    folder: FOLDER,
    what: "prometheus, promtool, amtool, kustomize and victoria-metrics (some 110 MB)",
    packages: &[
        "prometheus",
        "promtool",
        "prometheus-alertmanager",
        "kustomize",
        "victoria-metrics",
    ],
    surplus: &[
        "usr/bin/vmagent",
        "usr/bin/vmbackup",
        "usr/bin/vmrestore",
        "usr/bin/vmctl",
        "usr/share",
        "usr/lib/systemd",
        "usr/lib/x86_64-linux-gnu/perl",
        "var",
    ],
    files: &[],
};

/// A program that is already here.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let unpacked = paths::kernels().join(FOLDER).join("root/usr/bin").join(program);
    paths::on_path(program).or_else(|| unpacked.is_file().then_some(unpacked))
}

/// A program, downloaded if necessary.
pub(super) fn obtain(program: &str) -> Result<PathBuf> {
    if find(program).is_none() {
        tree::obtain(&TOOLS, |_, _| Ok(()))?;
    }
    find(program).with_context(|| format!("{program} is not in Debian's packages"))
}

/// The folder of the unpacked programs, with at least this one. Tests search it for the others,
/// too.
pub(super) fn folder(program: &str) -> Result<PathBuf> {
    let folder = paths::kernels().join(FOLDER).join("root/usr/bin");
    if !folder.join(program).is_file() {
        tree::obtain(&TOOLS, |_, _| Ok(()))?;
    }
    Ok(folder)
}
