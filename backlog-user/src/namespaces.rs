//! Network namespaces: which there are, and how to look into one without leaving
//! one's own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

/// The way to this thread's own.
const OWN: &str = "thread-self/ns/net";

/// The namespaces that some process lives in or that are mounted somewhere, by inode
/// number, each with a path to enter it by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces(BTreeMap<u32, PathBuf>);

impl Namespaces {
    /// Looks for them below a `/proc`.
    pub(crate) fn find(proc_root: &Path) -> Self {
        let mut found = BTreeMap::new();
        let own = proc_root.join(OWN);
        if let Some(inode) = inode(&own) {
            found.insert(inode, own);
        }
        for entry in fs::read_dir(proc_root).into_iter().flatten().flatten() {
            let is_process =
                entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
            if is_process {
                let path = entry.path().join("ns/net");
                if let Some(inode) = inode(&path) {
                    found.entry(inode).or_insert(path);
                }
            }
        }
        // `ip netns add` makes one that no process needs to live in.
        let mounts = fs::read_to_string(proc_root.join("thread-self/mountinfo"));
        for (number, path) in mounts.iter().flat_map(|text| text.lines()).filter_map(mounted) {
            found.entry(number).or_insert(path);
        }
        Self(found)
    }

    /// Their inode numbers.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.keys().copied()
    }

    /// Only these of them.
    pub(crate) fn only(&self, wanted: &[u32]) -> Self {
        let mut some = self.0.clone();
        some.retain(|netns, _| wanted.contains(netns));
        Self(some)
    }

    /// Does its path still lead there? The process may have ended and its number be
    /// another's.
    pub(crate) fn reaches(&self, netns: u32) -> bool {
        self.0.get(&netns).is_some_and(|path| inode(path) == Some(netns))
    }

    /// Adds those of a later look.
    pub(crate) fn add(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Runs something in one of them. A thread of its own enters it and ends there, so
    /// that no other thread is moved.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        netns: u32,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.0.get(&netns).context("it is gone")?;
        let own = path.ends_with(OWN);
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let found = file.metadata().with_context(|| format!("looking at {}", path.display()))?;
        ensure!(own || found.ino() == u64::from(netns), "it is gone");
        let enter = move || {
            // SAFETY: the descriptor is open; the call changes this thread only.
            if !own && unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error()).context("entering it");
            }
            work()
        };
        let thread = thread::Builder::new().spawn(enter).context("starting a thread")?;
        thread.join().map_err(|_| anyhow!("the thread that looked died"))?
    }
}

/// The inode number of a namespace behind a link of `/proc`.
fn inode(path: &Path) -> Option<u32> {
    u32::try_from(fs::metadata(path).ok()?.ino()).ok()
}

/// The namespace that a line of `mountinfo` shows, if it does: its root is then the
/// name of the namespace, and the mount point the way in.
fn mounted(line: &str) -> Option<(u32, PathBuf)> {
    let mut fields = line.split(' ');
    let root = fields.nth(3)?;
    let number = root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
    Some((number, PathBuf::from(fields.next()?)))
}

#[cfg(test)]
mod tests {
    use super::{Namespaces, mounted};
    use std::path::{Path, PathBuf};

    #[test]
    fn our_own_is_found_and_entered() {
        let found = Namespaces::find(Path::new("/proc"));
        let own = super::inode(Path::new("/proc/thread-self/ns/net")).unwrap();
        assert!(found.reaches(own) && !found.reaches(1));
        assert_eq!(found.inside(own, || Ok(7)).unwrap(), 7);
        assert!(found.inside(1, || Ok(7)).is_err());
    }

    #[test]
    fn a_mounted_one_is_found_by_its_line() {
        let line = "612 25 0:4 net:[4026532287] /run/netns/blue rw shared:9 - nsfs nsfs rw";
        assert_eq!(mounted(line), Some((4_026_532_287, PathBuf::from("/run/netns/blue"))));
        assert_eq!(mounted("25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw"), None);
    }
}
