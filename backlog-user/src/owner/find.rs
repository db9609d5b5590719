//! Finds the processes that hold sockets. Nothing in the kernel leads from a socket to
//! them: their descriptors are looked at, all of them or those of a few processes. What
//! that costs is told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::process::{self, Holder};
use super::{Owner, PIDS, container, descriptors, path};

/// What a look at all processes took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Processes whose descriptors were looked at.
    pub(crate) processes: usize,
    /// Those descriptors.
    pub(crate) descriptors: usize,
    /// Processes that this one has no right to look at: other users', without
    /// `CAP_SYS_PTRACE`. Those that the mount option `hidepid=2` hides are not even counted.
    pub(crate) unreadable: usize,
    /// The time from begin to end, with what was read of the holders.
    pub(crate) elapsed: Duration,
}

/// Finds owners of sockets below a `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    root: PathBuf,
    users: HashMap<u32, String>,
    last: Cost,
}

/// The processes that hold each of the wanted sockets.
type Found = HashMap<u64, BTreeSet<u32>>;

impl Finder {
    /// Looks at nothing yet but `passwd`, for the names of users.
    pub(crate) fn new(proc_root: &Path, passwd: &Path) -> Self {
        let users = process::users(passwd);
        Self { root: proc_root.to_owned(), users, last: Cost::default() }
    }

    /// The owners of these sockets, by inode number, which is unique over all network
    /// namespaces. All processes are looked at, once.
    pub(crate) fn scan(&mut self, wanted: &HashSet<u64>) -> HashMap<u64, Owner> {
        let begin = Instant::now();
        let mut cost = Cost::default();
        let mut found = Found::new();
        if !wanted.is_empty()
            && let Ok(root) = descriptors::folder(&self.root)
        {
            for pid in descriptors::processes(root.as_fd()) {
                look(&root, pid, wanted, &mut found, &mut cost);
            }
        }
        let owners = self.owners(&found);
        cost.elapsed = begin.elapsed();
        self.last = cost;
        owners
    }

    /// The same by a look at these processes only, such as held them before. A socket that
    /// none of them holds is missing, and holders that are not asked are not counted.
    pub(crate) fn ask(&mut self, wanted: &HashSet<u64>, pids: &[u32]) -> HashMap<u64, Owner> {
        let mut found = Found::new();
        if !wanted.is_empty()
            && let Ok(root) = descriptors::folder(&self.root)
        {
            for pid in pids {
                look(&root, *pid, wanted, &mut found, &mut Cost::default());
            }
        }
        self.owners(&found)
    }

    /// The inode numbers of all sockets that a process holds.
    pub(crate) fn sockets_of(&self, pid: u32) -> Result<HashSet<u64>> {
        let root = descriptors::folder(&self.root)
            .with_context(|| format!("opening {}", self.root.display()))?;
        let mut inodes = HashSet::new();
        let result = descriptors::sockets(root.as_fd(), pid, |inode| {
            inodes.insert(inode);
        });
        match result {
            Ok(_) => Ok(inodes),
            Err(error) if descriptors::is_gone(error) => bail!(
                "there is no process {pid}: give the number of one that runs, as `pgrep -a NAME` \
                 or `ss -ltnp` shows it"
            ),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "no look at the descriptors of process {pid}: that needs root, or its user's \
                     rights, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                )
            }),
        }
    }

    /// What the last scan took.
    pub(crate) fn last(&self) -> Cost {
        self.last
    }

    /// Reads what is told of the holders. One holder may have many sockets, and is read once.
    fn owners(&self, found: &Found) -> HashMap<u64, Owner> {
        let pids: BTreeSet<u32> = found.values().flatten().copied().collect();
        let read = |pid| Some((pid, Holder::read(&self.root, pid)?));
        let holders: BTreeMap<u32, Holder> = pids.into_iter().filter_map(read).collect();
        let mut mains = HashMap::new();
        let owner = |(inode, pids): (&u64, &BTreeSet<u32>)| {
            let holders: Vec<Holder> =
                pids.iter().filter_map(|pid| holders.get(pid)).cloned().collect();
            let main = process::main(&holders)?;
            let told =
                mains.entry(main.pid).or_insert_with(|| main.describe(&self.root, &self.users));
            let cgroup = told.cgroup.as_deref();
            let others = holders.iter().map(|holder| holder.pid).filter(|pid| *pid != main.pid);
            let owner = Owner {
                unit: cgroup.and_then(path::unit).map(str::to_owned),
                container: cgroup.and_then(container::of),
                main: told.clone(),
                processes: holders.len(),
                pids: std::iter::once(main.pid).chain(others).take(PIDS).collect(),
                threads: holders.iter().map(|holder| holder.threads).sum(),
            };
            Some((*inode, owner))
        };
        found.iter().filter_map(owner).collect()
    }
}

/// Looks at a process for the wanted sockets. One that ends meanwhile is as if it had never
/// been.
fn look(root: &OwnedFd, pid: u32, wanted: &HashSet<u64>, found: &mut Found, cost: &mut Cost) {
    let result = descriptors::sockets(root.as_fd(), pid, |inode| {
        if wanted.contains(&inode) {
            found.entry(inode).or_default().insert(pid);
        }
    });
    match result {
        Ok(count) => {
            cost.processes += 1;
            cost.descriptors += count;
        }
        Err(error) if descriptors::is_gone(error) => {}
        Err(_) => cost.unreadable += 1,
    }
}

#[cfg(test)]
mod tests;
