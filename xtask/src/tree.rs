//! Programs of Debian's packages with all that they need, unpacked into a folder that can
//! be a root of its own: nothing counts as installed, and no service is started. Made once,
//! and kept beside the kernels, as little part of this repository. Which programs, and what
//! for, is for others to say.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::kernels::apt::{Apt, STABLE};
use crate::kernels::unpack::extract;
use crate::{paths, process};

/// Links that every Debian system has, and no package.
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
/// Where the kernel's file systems and a program's own files are shown.
const FOLDERS: [&str; 6] = ["proc", "sys", "dev", "tmp", "root", "run"];

/// What is to be in it.
pub(crate) struct Wanted<'a> {
    /// The folder beside the kernels.
    pub(crate) folder: &'a str,
    /// What is downloaded, for people: which programs, and how much.
    pub(crate) what: &'a str,
    /// Packages of one release of Debian; what they depend on comes with them.
    pub(crate) packages: &'a [&'a str],
    /// What nobody needs to run them, by what its path begins with: it would fill a
    /// guest's memory, or its disk.
    pub(crate) surplus: &'a [&'a str],
    /// Files that no package has, and what stands in them.
    pub(crate) files: &'a [(&'a str, &'a str)],
}

/// What is on disk.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// Name and version of each of the packages.
    pub(crate) versions: String,
}

/// Downloads and unpacks it, unless it is here. What is made of it by `finish` (of the root,
/// in the folder) is made with it: both are whole, or are made again.
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
    // What was wanted stands in the first line, the versions in the second.
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
    /// Another one is another tree.
    fn key(&self) -> String {
        let Self { folder: _, what: _, packages, surplus, files } = self;
        let files = files.iter().map(|(path, text)| format!(" {path} {text:?}"));
        [packages.join(" "), surplus.join(" ")].join(" ") + &files.collect::<String>()
    }
}

/// Makes the root anew, and says which versions are in it.
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

/// The packages in a folder, in order.
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

/// A file or a folder, if it is there: not every release has each of them.
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
