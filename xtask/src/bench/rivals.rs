//! What a user would run instead: Debian's packages of the tracers with all that they
//! need, unpacked into a folder that a guest gets as a root of its own. Kept beside the
//! kernels, and as little part of this repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::kernels::apt::{Apt, STABLE};
use crate::{paths, process};

/// The tracers, of one release.
const PACKAGES: [&str; 3] = ["libbpf-tools", "bpftrace", "bpfcc-tools"];

/// What nobody needs to run them, by what its path begins with: it would fill the guest's
/// memory.
const SURPLUS: [&str; 12] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/zoneinfo",
    "usr/share/ieee-data",
    "usr/share/info",
    "usr/share/i18n",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/ossl-modules",
    "usr/bin/bpftrace-aotrt",
    "usr/bin/perl",
    "var",
];

/// Links that every Debian system has, and no package.
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];

/// The tracers on disk.
pub(super) struct Rivals {
    /// A root for them.
    pub(super) root: PathBuf,
    /// Package and version of each.
    pub(super) versions: String,
}

/// The tracers, downloaded and unpacked once.
pub(super) fn obtain() -> Result<Rivals> {
    let folder = paths::kernels().join("rivals");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = folder.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot make {}", lock.display()))?;
    lock.lock().context("cannot lock the rivals' folder")?;
    let (root, versions) = (folder.join("root"), folder.join("versions"));
    // What was wanted stands in the first line, the versions in the second.
    let wanted = [PACKAGES.join(" "), SURPLUS.join(" ")].join(" ");
    let here = fs::read_to_string(&versions).unwrap_or_default();
    if let Some((was, versions)) = here.split_once('\n')
        && was == wanted
        && root.is_dir()
    {
        return Ok(Rivals { root, versions: versions.to_owned() });
    }
    let found = download(&folder, &root)?;
    fs::write(&versions, format!("{wanted}\n{found}"))
        .with_context(|| format!("cannot write {}", versions.display()))?;
    Ok(Rivals { root, versions: found })
}

/// Makes the root anew, and says which versions are in it.
fn download(folder: &Path, root: &Path) -> Result<String> {
    if paths::on_path("apt-get").is_none() {
        bail!("the packages are fetched with apt-get, which is not here");
    }
    process::say("downloading libbpf-tools, bpftrace and bcc with all they need (some 90 MB)");
    let apt = Apt::new(folder, STABLE)?;
    apt.update()?;
    let debs = files(&apt.download_closure(&PACKAGES)?)?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(folder)
        .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
    unpack(&debs, scratch.path())?;
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    fs::rename(scratch.keep(), root).with_context(|| format!("cannot make {}", root.display()))?;
    let names = debs.iter().filter_map(|deb| deb.file_name()?.to_str());
    Ok(names.filter_map(version).collect::<Vec<_>>().join(", "))
}

/// Of the file `bpftrace_0.23.2-1_amd64.deb`, if it is one of the tracers.
fn version(file: &str) -> Option<String> {
    let mut parts = file.split('_');
    let (package, version) = (parts.next()?, parts.next()?);
    PACKAGES.contains(&package).then(|| format!("{package} {version}"))
}

/// The packages in a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut debs = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            debs.push(path);
        }
    }
    debs.sort();
    if debs.is_empty() {
        bail!("apt downloaded no package into {}", folder.display());
    }
    Ok(debs)
}

fn unpack(debs: &[PathBuf], root: &Path) -> Result<()> {
    for deb in debs {
        process::capture(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root))?;
    }
    for name in SURPLUS {
        let path = root.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        // Not every release has each of them.
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
    }
    for (link, target) in LINKS {
        let path = root.join(link);
        if !path.exists() {
            std::os::unix::fs::symlink(target, &path)
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
    }
    for name in ["proc", "sys", "dev", "tmp", "root", "run"] {
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_tracers_versions_are_told() {
        let told = version("libbpf-tools_0.31.0+ds-7_amd64.deb");
        assert_eq!(told.as_deref(), Some("libbpf-tools 0.31.0+ds-7"));
        assert_eq!(version("libc6_2.41-12_amd64.deb"), None);
        assert_eq!(version("lock"), None);
    }
}
