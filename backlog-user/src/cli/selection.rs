//! Filters that only the running system can resolve: by process, network namespace or cgroup. Each
//! is resolved once, at the start.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use backlog_core::filter::{Filter, Held, Subtree};

use crate::host::namespaces::named::{self, Named};
use crate::host::owner::cgroup::Cgroups;
use crate::host::owner::find::Finder;

/// The filters as typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// `--netns`
    pub(crate) netns: Option<String>,
    /// `--pid`
    pub(crate) pid: Option<u32>,
    /// `--cgroup`
    pub(crate) cgroup: Option<PathBuf>,
}

impl Selection {
    /// Adds the selection to a filter. Returns the selected network namespace, held open so that no
    /// other one gets its inode number before it is identified.
    pub(crate) fn add_to(&self, filter: &mut Filter, finder: &Finder) -> Result<Option<File>> {
        let mut held = None;
        let Self { netns, pid, cgroup } = self;
        if let Some(text) = netns {
            let Named { netns, opened, .. } = named::find(Path::new("/"), text)?;
            filter.netns = Some(netns.into());
            held = opened;
        }
        if let Some(pid) = *pid {
            filter.process = Some(Held { pid, sockets: finder.sockets_of(pid).context("--pid")? });
        }
        if let Some(path) = cgroup {
            filter.cgroup = Some(subtree(path).context("--cgroup")?);
        }
        Ok(held)
    }
}

/// The inode number of the initial cgroup namespace (`PROC_CGROUP_INIT_INO`, 5.10 to 7.3).
const HOST_CGROUPS: u64 = 0xefff_fffb;

/// A cgroup and all below it.
fn subtree(path: &Path) -> Result<Subtree> {
    let mut cgroups = Cgroups::find(Path::new("/proc"));
    let id = cgroups.id_of(path)?;
    let own = fs::metadata("/proc/self/ns/cgroup").context("reading our cgroup namespace")?;
    if own.ino() != HOST_CGROUPS {
        bail!(
            "the kernel counts cgroup levels from the host's root, which is not visible in this \
             cgroup namespace: run it on the host (docker run --cgroupns=host)"
        );
    }
    let path = cgroups.path_of(id).with_context(|| format!("{} is gone", path.display()))?;
    let below = Path::new(&path).strip_prefix("/").unwrap_or(Path::new(&path));
    let level = u32::try_from(below.components().count()).unwrap_or(u32::MAX);
    let mut members = HashSet::from([id]);
    let mut folders: Vec<PathBuf> = cgroups.top().map(|top| top.join(below)).into_iter().collect();
    while let Some(folder) = folders.pop() {
        // A cgroup that was removed in the meantime has no listeners left.
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
