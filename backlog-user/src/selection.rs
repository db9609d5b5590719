//! Filters by what only the running system knows: a process, a network namespace, a cgroup.
//! Looked up once, at the start.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::filter::{Filter, Held, Subtree};
use crate::owner::cgroup::Cgroups;
use crate::owner::find::Finder;

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// `--netns`
    pub(crate) netns: Option<String>,
    /// `--pid`
    pub(crate) pid: Option<u32>,
    /// `--cgroup`
    pub(crate) cgroup: Option<PathBuf>,
}

/// Inode numbers of namespaces begin here (`PROC_DYNAMIC_FIRST`, 5.10 to 7.3), far above
/// what a process's number can be.
const FIRST_INODE: u64 = 0xf000_0000;

/// Where `ip netns` keeps its own.
const NAMED: &str = "/run/netns";

impl Selection {
    /// Adds to a filter what was selected.
    pub(crate) fn add_to(&self, filter: &mut Filter, finder: &Finder) -> Result<()> {
        let Self { netns, pid, cgroup } = self;
        if let Some(text) = netns {
            filter.netns = Some(namespace(text)?);
        }
        if let Some(pid) = *pid {
            filter.process = Some(Held { pid, sockets: finder.sockets_of(pid).context("--pid")? });
        }
        if let Some(path) = cgroup {
            filter.cgroup = Some(subtree(path).context("--cgroup")?);
        }
        Ok(())
    }
}

/// The inode number of the namespace that is meant.
fn namespace(text: &str) -> Result<u32> {
    let path = match text.parse::<u64>() {
        Ok(number) if number >= FIRST_INODE => {
            return u32::try_from(number)
                .with_context(|| format!("--netns: {number} is too large"));
        }
        Ok(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        Err(_) if text.contains('/') => PathBuf::from(text),
        Err(_) => Path::new(NAMED).join(text),
    };
    let found = fs::metadata(&path).with_context(|| {
        format!(
            "--netns {text}: cannot look at {}: give a pid, a path like /proc/812/ns/net, a name \
             that `ip netns` lists, or an inode number that `lsns -t net` lists",
            path.display()
        )
    })?;
    match u32::try_from(found.ino()) {
        Ok(inode) if u64::from(inode) >= FIRST_INODE => Ok(inode),
        _ => bail!("--netns {text}: {} is no namespace", path.display()),
    }
}

/// The inode number of the cgroup namespace that a host begins with
/// (`PROC_CGROUP_INIT_INO`, 5.10 to 7.3).
const HOST_CGROUPS: u64 = 0xefff_fffb;

/// A cgroup and what is below it.
fn subtree(path: &Path) -> Result<Subtree> {
    let mut cgroups = Cgroups::find(Path::new("/proc"));
    let id = cgroups.id_of(path)?;
    let own = fs::metadata("/proc/self/ns/cgroup").context("looking at our cgroup namespace")?;
    if own.ino() != HOST_CGROUPS {
        bail!(
            "the kernel counts levels from the host's root, which is not seen from within this \
             cgroup namespace: run it on the host (docker run --cgroupns=host)"
        );
    }
    let path = cgroups.path_of(id).with_context(|| format!("{} is gone", path.display()))?;
    let below = Path::new(&path).strip_prefix("/").unwrap_or(Path::new(&path));
    let level = u32::try_from(below.components().count()).unwrap_or(u32::MAX);
    let mut members = HashSet::from([id]);
    let mut folders: Vec<PathBuf> = cgroups.top().map(|top| top.join(below)).into_iter().collect();
    while let Some(folder) = folders.pop() {
        // One that is removed meanwhile has no listeners any more.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if let Ok(found) = entry.metadata()
                && found.is_dir()
            {
                members.insert(found.ino());
                folders.push(entry.path());
            }
        }
    }
    Ok(Subtree { id, level, members })
}

#[cfg(test)]
mod tests {
    use super::namespace;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_namespace_has_many_names() {
        let own = u32::try_from(fs::metadata("/proc/self/ns/net").unwrap().ino()).unwrap();
        let pid = std::process::id().to_string();
        for text in ["/proc/self/ns/net", pid.as_str(), own.to_string().as_str()] {
            assert_eq!(namespace(text).unwrap(), own, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_said_with_the_cure() {
        for (text, cure) in [
            ("no-such-namespace", "ip netns"),
            ("4194305", "lsns"),
            ("/proc/self/status", "no namespace"),
            ("99999999999", "too large"),
        ] {
            let error = format!("{:#}", namespace(text).unwrap_err());
            assert!(error.contains(cure), "{text}: {error}");
        }
    }
}
