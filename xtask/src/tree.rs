//! Programs from Debian packages with all dependencies, unpacked into a folder that can serve as a
//! root. Nothing is installed, and no service is started. A tree is created once and kept next to
//! the kernels, outside of this repository. Other modules decide which programs to include.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::kernels::apt::{Apt, STABLE};
use crate::kernels::unpack::extract;
use crate::{paths, process};

/// Links that every Debian system has, but that no package contains.
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
/// Mount points for the kernel's file systems, and folders for files of the programs.
const FOLDERS: [&str; 6] = ["proc", "sys", "dev", "tmp", "root", "run"];

/// The content of a tree.
pub(crate) struct Wanted<'a> {
    /// The folder next to the kernels.
    pub(crate) folder: &'a str,
    /// A description for messages: which programs, and how large.
    pub(crate) what: &'a str,
    /// Packages of one Debian release; dependencies are added.
    pub(crate) packages: &'a [&'a str],
    /// Prefixes of paths that are not needed to run the programs, and would fill the memory or disk
    /// of a guest.
    pub(crate) surplus: &'a [&'a str],
    /// Additional files, with their content.
    pub(crate) files: &'a [(&'a str, &'a str)],
}

/// A tree on disk.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// The name and version of each package.
    pub(crate) versions: String,
}

/// Downloads and unpacks the tree unless it exists. `finish` (with the root and the folder) creates
/// what is derived from it. Both are complete, or are created again.
pub(crate) fn obtain(
    wanted: &Wanted<'_>,
    finish: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<Tree> {
    let folder = paths::kernels().join(wanted.folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = folder.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
    let (root, list) = (folder.join("root"), folder.join("versions"));
    // The first line has the wanted content, the second one the versions.
    let key = wanted.key();
    let here = fs::read_to_string(&list).unwrap_or_default();
    if let Some((was, versions)) = here.split_once('\n')
        && was == key
        && root.is_dir()
    {
        return Ok(Tree { root, versions: versions.to_owned() });
    }
    remove(&list)?;
    let versions = download(wanted, &folder, &root)?;
    finish(&root, &folder)?;
    fs::write(&list, format!("{key}\n{versions}"))
        .with_context(|| format!("cannot write {}", list.display()))?;
    Ok(Tree { root, versions })
}

impl Wanted<'_> {
    /// Identifies the wanted content: another key means another tree.
    fn key(&self) -> String {
        let Self { folder: _, what: _, packages, surplus, files } = self;
        let files = files.iter().map(|(path, text)| format!(" {path} {text:?}"));
        [packages.join(" "), surplus.join(" ")].join(" ") + &files.collect::<String>()
    }
}

/// Creates the root again, and returns the versions of its packages.
fn download(wanted: &Wanted<'_>, folder: &Path, root: &Path) -> Result<String> {
    if paths::on_path("apt-get").is_none() {
        bail!("the packages are fetched with apt-get, which is not here");
    }
    process::say(&format!("downloading {}", wanted.what));
    let apt = Apt::new(folder, STABLE)?;
    apt.update()?;
    let debs = debs_in(&apt.download_closure(wanted.packages)?)?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(folder)
        .with_context(|| format!("cannot create a folder in {}", folder.display()))?;
    unpack(wanted, &debs, scratch.path())?;
    remove(root)?;
    fs::rename(scratch.keep(), root)
        .with_context(|| format!("cannot create {}", root.display()))?;
    let names = debs.iter().filter_map(|deb| deb.file_name()?.to_str());
    let versions = names.filter_map(|name| version(name, wanted.packages));
    Ok(versions.collect::<Vec<_>>().join(", "))
}

/// The version in `bpftrace_0.23.2-1_amd64.deb`, if it is one of the packages.
fn version(file: &str, packages: &[&str]) -> Option<String> {
    let mut parts = file.split('_');
    let (package, version) = (parts.next()?, parts.next()?);
    packages.contains(&package).then(|| format!("{package} {version}"))
}

/// The packages in a folder, sorted.
fn debs_in(folder: &Path) -> Result<Vec<PathBuf>> {
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

fn unpack(wanted: &Wanted<'_>, debs: &[PathBuf], root: &Path) -> Result<()> {
    extract(debs, root)?;
    for name in wanted.surplus {
        remove(&root.join(name))?;
    }
    for (link, target) in LINKS {
        let path = root.join(link);
        if !path.exists() {
            std::os::unix::fs::symlink(target, &path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
    }
    for name in FOLDERS {
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    for (name, text) in wanted.files {
        let path = root.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Removes a file or folder, if it exists: not every release has all of them.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_versions_of_what_was_wanted_are_told() {
        let packages = ["libbpf-tools", "bpftrace"];
        let told = version("libbpf-tools_0.31.0+ds-7_amd64.deb", &packages);
        assert_eq!(told.as_deref(), Some("libbpf-tools 0.31.0+ds-7"));
        assert_eq!(version("libc6_2.41-12_amd64.deb", &packages), None);
        assert_eq!(version("lock", &packages), None);
    }
}
