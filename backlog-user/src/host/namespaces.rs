//! Finds the network namespaces of the host, and runs code in another one without leaving its own.

pub(crate) mod identity;
pub(crate) mod named;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::host::kernel::rights;
use crate::rights::capability::Capability;
use names::Names;
pub(crate) use names::in_first_pid_namespace;

/// The path of this thread's own namespace.
const OWN: &str = "thread-self/ns/net";

/// The namespaces with a process or a mount point, by inode number, each with a path to enter it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    ways: BTreeMap<u32, PathBuf>,
    /// Namespaces that this process may not enter.
    shut: BTreeSet<u32>,
    /// Are there processes whose namespace is hidden from us?
    hidden: bool,
    names: Names,
}

impl Namespaces {
    /// Finds the namespaces below a `/proc`.
    pub(crate) fn find(proc_root: &Path) -> Self {
        let mut found = Self::default();
        let own = proc_root.join(OWN);
        let own_inode = inode(&own).ok();
        if let Some(inode) = own_inode {
            found.ways.insert(inode, own);
        }
        for entry in fs::read_dir(proc_root).into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.of_process(pid, &entry.path());
            }
        }
        // `ip netns add` creates one that need not have a process.
        let mounts = fs::read_to_string(proc_root.join("thread-self/mountinfo"));
        for (number, path) in mounts.iter().flat_map(|text| text.lines()).filter_map(mounted) {
            found.names.mounted(number, &path);
            // A process may end before this.
            if own_inode != Some(number) {
                found.ways.insert(number, path);
            }
        }
        found.names.read(proc_root);
        let rights = rights::effective(proc_root);
        let has = |capability| rights.is_none_or(|set| set.has(capability));
        // A security module may hide processes even from root.
        found.hidden &= !has(Capability::SysPtrace);
        if !has(Capability::SysAdmin) {
            let (open, shut) =
                found.ways.into_iter().partition(|(netns, _)| Some(*netns) == own_inode);
            found.ways = open;
            let shut: BTreeMap<_, _> = shut;
            found.shut = shut.into_keys().collect();
        }
        found
    }

    fn of_process(&mut self, pid: u32, folder: &Path) {
        let path = folder.join("ns/net");
        match inode(&path) {
            Ok(inode) => {
                self.names.lives(inode, pid);
                self.ways.entry(inode).or_insert(path);
            }
            // Entering a namespace that has just ended gives the same error.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.hidden |= folder.exists();
            }
            Err(_) => {}
        }
    }

    /// The tracer's gap if this process lacks the capabilities to enter other namespaces.
    pub(crate) fn unseen(&self) -> Option<String> {
        let closed = self.closed()?;
        Some(format!(
            "{closed}: listeners there appear at their first event, connections queued at the \
             start are unknown, and nothing is compared with the kernel's counters there"
        ))
    }

    /// What `listeners` cannot inspect if this process lacks the capabilities.
    pub(crate) fn closed(&self) -> Option<String> {
        let which = match (self.shut.len(), self.hidden) {
            (0, false) => return None,
            (0, true) => "network namespaces of other users' processes are".to_owned(),
            (1, _) => "1 other network namespace is".to_owned(),
            (count, _) => format!("{count} other network namespaces are"),
        };
        Some(format!("{which} not inspected (that needs CAP_SYS_ADMIN and CAP_SYS_PTRACE)"))
    }

    /// Is this process not allowed to enter it?
    pub(crate) fn is_shut(&self, netns: u32) -> bool {
        self.shut.contains(&netns)
    }

    /// May this process enter it, if it exists?
    pub(crate) fn may_enter(&self, netns: u32) -> bool {
        !self.hidden && !self.is_shut(netns)
    }

    /// Adds a path that was found elsewhere.
    pub(crate) fn add_way(&mut self, netns: u32, path: PathBuf) {
        self.ways.entry(netns).or_insert(path);
    }

    /// The inode numbers of all known namespaces.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.ways.keys().copied()
    }

    /// The name of a namespace: `host`, the name of its mount point, or `pid 812 (nginx)` after the
    /// first process in it.
    pub(crate) fn name_of(&self, netns: u32) -> Option<String> {
        self.names.of(netns)
    }

    /// A copy with only these namespaces.
    pub(crate) fn only(&self, wanted: &[u32]) -> Self {
        let mut some = self.clone();
        some.ways.retain(|netns, _| wanted.contains(netns));
        some
    }

    /// Does its path still lead there? The process may have ended and its number may have been
    /// reused.
    pub(crate) fn reaches(&self, netns: u32) -> bool {
        self.ways.get(&netns).is_some_and(|path| inode(path).is_ok_and(|inode| inode == netns))
    }

    /// Adds the results of a later search.
    pub(crate) fn add(&mut self, later: Self) {
        let Self { ways, shut, hidden, names } = later;
        self.ways.retain(|netns, path| {
            ways.contains_key(netns) || inode(path).is_ok_and(|inode| inode == *netns)
        });
        self.ways.extend(ways);
        self.shut.extend(shut);
        self.hidden |= hidden;
        self.names.add(names);
    }

    /// Runs a function in a namespace, on a thread of its own, so that no other thread changes its
    /// namespace.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        netns: u32,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.ways.get(&netns).context("it is gone")?;
        let own = path.ends_with(OWN);
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let found = file.metadata().with_context(|| format!("looking at {}", path.display()))?;
        ensure!(own || found.ino() == u64::from(netns), "it is gone");
        Self::within(file, own, work)
    }

    /// The same in a namespace that is already open.
    pub(crate) fn inside_open<T: Send + 'static>(
        &self,
        netns: u32,
        file: File,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.ways.get(&netns).is_some_and(|path| path.ends_with(OWN));
        Self::within(file, own, work)
    }

    fn within<T: Send + 'static>(
        file: File,
        own: bool,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let enter = move || {
            // SAFETY: the descriptor is open; the call changes this thread only.
            if !own && unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error()).context("entering it");
            }
            work()
        };
        let thread = thread::Builder::new().spawn(enter).context("starting a thread")?;
        thread.join().map_err(|_| anyhow!("the thread in the network namespace panicked"))?
    }
}

/// The inode number of this thread's own namespace.
pub(crate) fn own_inode(proc_root: &Path) -> Result<u32> {
    inode(&proc_root.join(OWN)).context("reading the network namespace of this process")
}

/// The inode number of the namespace behind a link in `/proc`.
pub(crate) fn inode(path: &Path) -> io::Result<u32> {
    let found = fs::metadata(path)?;
    // On 5.10, a link that may not be followed resolves to the directory that contains it.
    if found.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    u32::try_from(found.ino()).map_err(io::Error::other)
}

/// Parses a line of `mountinfo` that shows a namespace: the root is the namespace, and the mount
/// point the path to enter it.
pub(crate) fn mounted(line: &str) -> Option<(u32, PathBuf)> {
    let mut fields = line.split(' ');
    let root = fields.nth(3)?;
    let number = root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
    Some((number, PathBuf::from(fields.next()?)))
}

#[cfg(test)]
mod tests {
    use super::{Namespaces, mounted};
    use std::fs;
    use std::path::{Path, PathBuf};

    #[test]
    fn our_own_is_found_and_entered() {
        let found = Namespaces::find(Path::new("/proc"));
        let own = super::inode(Path::new("/proc/thread-self/ns/net")).unwrap();
        assert!(found.reaches(own) && !found.reaches(1));
        assert_eq!(found.inside(own, || Ok(7)).unwrap(), 7);
        assert!(found.inside(1, || Ok(7)).is_err());
        let name = found.name_of(own).unwrap();
        assert!(name == "host" || name.starts_with("pid "), "{name}");
        assert_eq!(found.name_of(1), None);
    }

    #[test]
    fn a_link_that_leads_to_a_folder_is_refused() {
        let proc_root = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc_root.path().join("77/ns/net")).unwrap();
        fs::create_dir_all(proc_root.path().join("self")).unwrap();
        fs::write(proc_root.path().join("self/status"), "CapEff:\t000000c000000000\n").unwrap();
        let found = Namespaces::find(proc_root.path());
        assert_eq!(found.inodes().count(), 0);
        assert!(found.unseen().unwrap().contains("CAP_SYS_PTRACE"));
    }

    #[test]
    fn who_may_not_enter_another_leaves_it_out() {
        let proc_root = tempfile::tempdir().unwrap();
        let namespace = proc_root.path().join("77/ns");
        fs::create_dir_all(&namespace).unwrap();
        fs::write(namespace.join("net"), "").unwrap();
        fs::create_dir_all(proc_root.path().join("self")).unwrap();
        let status = proc_root.path().join("self/status");
        fs::write(&status, "CapEff:\t000001ffffffffff\n").unwrap();
        let found = Namespaces::find(proc_root.path());
        assert_eq!((found.inodes().count(), found.unseen()), (1, None));
        let inode = found.inodes().next().unwrap();
        assert_eq!(found.name_of(inode).unwrap(), "pid 77");
        fs::write(&status, "CapEff:\t000000c000000000\n").unwrap();
        let found = Namespaces::find(proc_root.path());
        assert_eq!(found.inodes().count(), 0);
        assert!(found.unseen().unwrap().starts_with("1 other network namespace is not"));
        // It still has its name.
        assert_eq!(found.name_of(inode).unwrap(), "pid 77");
    }

    #[test]
    fn a_mounted_one_is_found_by_its_line() {
        let line = "612 25 0:4 net:[4026532287] /run/netns/blue rw shared:9 - nsfs nsfs rw";
        assert_eq!(mounted(line), Some((4_026_532_287, PathBuf::from("/run/netns/blue"))));
        assert_eq!(mounted("25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw"), None);
    }
}
