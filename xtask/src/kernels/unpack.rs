//! Unpacks downloaded packages into what a guest needs: `vmlinuz`, `config`, and the wanted
//! modules, decompressed, with their load order. Knows where Debian puts these files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::modules;
use crate::process;

/// The names of the loadable modules in load order, one per line.
pub(crate) const ORDER: &str = "modules/order";
/// The list of modules that were wanted.
pub(crate) const WANTED: &str = "modules/wanted";

/// Unpacks `debs` into the folder `into`, which appears completely or not at all.
pub(crate) fn unpack(debs: &[PathBuf], into: &Path) -> Result<()> {
    let parent = into.parent().unwrap_or(into);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
    let tree = scratch.path().join("tree");
    extract(debs, &tree)?;
    let files = files_below(&tree)?;
    let ready = scratch.path().join("ready");
    fs::create_dir_all(ready.join("modules"))
        .with_context(|| format!("cannot create {}", ready.display()))?;

    let vmlinuz = find(&files, "vmlinuz").with_context(|| format!("no vmlinuz in {debs:?}"))?;
    copy(vmlinuz, &ready.join("vmlinuz"))?;
    if let Some(config) = find(&files, "config") {
        copy(config, &ready.join("config"))?;
    }
    unpack_modules(&files, &ready)?;

    // It was unpacked for another list of wanted modules.
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("cannot remove {}", into.display()))?;
    }
    fs::rename(&ready, into)
        .with_context(|| format!("cannot rename {} to {}", ready.display(), into.display()))
}

/// Unpacks the files of packages into the folder `tree`.
pub(crate) fn extract(debs: &[PathBuf], tree: &Path) -> Result<()> {
    for deb in debs {
        process::capture(Command::new("dpkg-deb").arg("-x").arg(deb).arg(tree))?;
    }
    Ok(())
}

/// Unpacks the headers of a release from packages in the folder `debs` into the folder `into`,
/// which appears completely or not at all. Each of the two packages gets a folder with its name.
pub(crate) fn headers(
    debs: &Path,
    release: &str,
    packages: &[String; 2],
    into: &Path,
) -> Result<()> {
    let tree = debs.join("tree");
    extract(&files_below(debs)?, &tree)?;
    let ready = debs.join("ready");
    let links = ready.join("modules").join(release);
    fs::create_dir_all(&links).with_context(|| format!("cannot create {}", links.display()))?;
    for (name, package) in ["build", "source"].iter().zip(packages) {
        let link = links.join(name);
        std::os::unix::fs::symlink(format!("/usr/src/{package}"), &link)
            .with_context(|| format!("cannot create {}", link.display()))?;
    }
    let (from, to) = (tree.join("usr/src"), ready.join("src"));
    fs::rename(&from, &to).with_context(|| format!("no {}", from.display()))?;
    let parent = into.parent().unwrap_or(into);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    fs::rename(&ready, into)
        .with_context(|| format!("cannot rename {} to {}", ready.display(), into.display()))
}

fn unpack_modules(files: &[PathBuf], ready: &Path) -> Result<()> {
    let by_name: BTreeMap<String, &PathBuf> = files
        .iter()
        .filter_map(|file| Some((modules::name_of(file.file_name()?.to_str()?)?, file)))
        .collect();
    let order = modules::load_order(&modules::WANTED, |name| {
        let Some(file) = by_name.get(name) else {
            return Ok(None);
        };
        let bytes = decompress(file)?;
        let target = ready.join(format!("modules/{name}.ko"));
        fs::write(&target, &bytes).with_context(|| format!("cannot write {}", target.display()))?;
        Ok(Some(modules::depends(&bytes)))
    })?;
    let lines: Vec<String> = order.iter().map(|name| format!("{name}\n")).collect();
    for (name, text) in [(ORDER, lines.concat()), (WANTED, modules::WANTED.join(" "))] {
        let path = ready.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Decompresses a module, since 5.10 cannot load compressed ones.
fn decompress(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|ext| ext.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut command = Command::new(program);
    let output = process::output(command.arg("-dc").arg(file))?;
    anyhow::ensure!(output.status.success(), "{}: {}", output.status, process::line(&command));
    Ok(output.stdout)
}

/// Finds `vmlinuz-6.1.0-56-cloud-amd64` in /boot, or plain `vmlinuz` next to the modules.
fn find<'a>(files: &'a [PathBuf], stem: &str) -> Option<&'a Path> {
    files.iter().map(PathBuf::as_path).find(|file| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(stem))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// All files of a tree; links are not followed.
fn files_below(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let kind = entry
                .file_type()
                .with_context(|| format!("cannot inspect {}", entry.path().display()))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
