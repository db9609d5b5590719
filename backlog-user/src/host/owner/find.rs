//! Finds the processes that hold sockets. The kernel has no link from a socket to its holders, so
//! this reads the descriptors of all processes or of a few, and reports the cost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use backlog_core::owner::{Owner, PIDS};
use backlog_core::run::cost::Scan;
use procfs::ProcResult;
use procfs::process::{Process as Folder, all_processes_with_root};

use super::process::{self, Holder};
use super::{container, descriptors, path};

/// Finds owners of sockets below a `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    root: PathBuf,
    users: HashMap<u32, String>,
    last: Scan,
}

/// The result of a scan.
#[derive(Default)]
struct Found {
    /// The processes that hold each wanted socket.
    pids: HashMap<u64, BTreeSet<u32>>,
    /// The details of these processes. A process that holds many sockets is read only once.
    holders: BTreeMap<u32, Holder>,
    cost: Scan,
}

impl Finder {
    /// Creates a finder; reads only `passwd`, for the names of users.
    pub(crate) fn new(proc_root: &Path, passwd: &Path) -> Self {
        let users = process::users(passwd);
        Self { root: proc_root.to_owned(), users, last: Scan::default() }
    }

    /// Finds the owners of these sockets by inode number, which is unique across all network
    /// namespaces. It scans every process once; threads share descriptors.
    pub(crate) fn scan(&mut self, wanted: &HashSet<u64>) -> HashMap<u64, Owner> {
        let begin = Instant::now();
        let mut found = Found::default();
        if !wanted.is_empty() {
            for process in all_processes_with_root(&self.root).into_iter().flatten() {
                found.look(process, wanted);
            }
        }
        let owners = self.owners(&found);
        self.last = Scan { elapsed: begin.elapsed(), ..found.cost };
        owners
    }

    /// The same, but scans only these processes, such as earlier holders. A socket that none of
    /// them holds is missing from the result, and other holders are not counted.
    pub(crate) fn ask(&mut self, wanted: &HashSet<u64>, pids: &[u32]) -> HashMap<u64, Owner> {
        let mut found = Found::default();
        if !wanted.is_empty() {
            for pid in pids {
                found.look(descriptors::open(&self.root, *pid), wanted);
            }
        }
        self.owners(&found)
    }

    /// The inode numbers of all sockets that a process holds.
    pub(crate) fn sockets_of(&self, pid: u32) -> Result<HashSet<u64>> {
        let mut inodes = HashSet::new();
        let result = descriptors::open(&self.root, pid).and_then(|process| {
            descriptors::sockets(&process, |inode| {
                inodes.insert(inode);
            })
        });
        match result {
            Ok(_) => Ok(inodes),
            Err(error) if descriptors::is_gone(&error) => bail!(
                "no process {pid}: give the pid of a running process, as `pgrep -a NAME` or `ss \
                 -ltnp` shows it"
            ),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot read the descriptors of process {pid}: run as root, or with \
                     CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                )
            }),
        }
    }

    /// The cost of the last scan.
    pub(crate) fn last(&self) -> Scan {
        self.last
    }

    /// Reads details only of main holders.
    fn owners(&self, found: &Found) -> HashMap<u64, Owner> {
        let mut mains = HashMap::new();
        let owner = |(inode, pids): (&u64, &BTreeSet<u32>)| {
            let holders: Vec<&Holder> =
                pids.iter().filter_map(|pid| found.holders.get(pid)).collect();
            let main = process::main(&holders)?;
            let describe = || main.describe(&self.root, &self.users);
            let main = mains.entry(main.pid).or_insert_with(describe).clone();
            let cgroup = main.cgroup.as_deref();
            let others = holders.iter().map(|holder| holder.pid).filter(|pid| *pid != main.pid);
            let owner = Owner {
                processes: holders.len(),
                pids: iter::once(main.pid).chain(others).take(PIDS).collect(),
                threads: holders.iter().map(|holder| holder.threads).sum(),
                unit: cgroup.and_then(path::unit).map(str::to_owned),
                container: cgroup.and_then(container::of),
                main,
            };
            Some((*inode, owner))
        };
        found.pids.iter().filter_map(owner).collect()
    }
}

impl Found {
    /// Searches a process for the wanted sockets. A process that ends in the meantime is ignored.
    fn look(&mut self, process: ProcResult<Folder>, wanted: &HashSet<u64>) {
        let mut held = BTreeSet::new();
        let result = process.and_then(|process| {
            let count = descriptors::sockets(&process, |inode| {
                if wanted.contains(&inode) {
                    held.insert(inode);
                }
            })?;
            Ok((process, count))
        });
        let (process, count) = match result {
            Ok(seen) => seen,
            Err(error) => {
                self.cost.unreadable += usize::from(!descriptors::is_gone(&error));
                return;
            }
        };
        self.cost.processes += 1;
        self.cost.descriptors += count;
        if !held.is_empty()
            && let Some(holder) = Holder::read(&process)
        {
            for inode in held {
                self.pids.entry(inode).or_default().insert(holder.pid);
            }
            self.holders.insert(holder.pid, holder);
        }
    }
}

#[cfg(test)]
mod tests;
