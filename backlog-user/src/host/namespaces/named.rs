//! `--netns X`: resolves a network namespace that a user names by a pid, a path, a name of `ip
//! netns`, or an inode number.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where `ip netns add` mounts namespaces.
const NAMED: &str = "run/netns";
/// The largest possible pid (`PID_MAX_LIMIT`); every inode number of a namespace is larger.
const LARGEST_PID: u32 = 1 << 22;

/// The named namespace.
#[derive(Debug)]
pub(crate) struct Named {
    /// The inode number of the namespace.
    pub(crate) netns: u32,
    /// A path to enter it; None if it was named by its number.
    pub(crate) path: Option<PathBuf>,
    /// The opened path.
    pub(crate) opened: Option<File>,
}

/// Parses the argument; `root` is `/`.
pub(crate) fn find(root: &Path, text: &str) -> Result<Named> {
    let path = match text.parse() {
        Ok(netns) if netns > LARGEST_PID => return Ok(Named { netns, path: None, opened: None }),
        Ok(pid) => root.join(format!("proc/{pid}/ns/net")),
        Err(_) if text.contains('/') => PathBuf::from(text),
        Err(_) => root.join(NAMED).join(text),
    };
    let opened = File::open(&path).with_context(|| {
        format!(
            "--netns {text}: opening {}: give a pid, a path, a name below /run/netns, or an inode \
             number (lsns -t net lists them)",
            path.display()
        )
    })?;
    let Some(netns) = number(&opened) else {
        bail!("--netns {text}: {} is not a network namespace", path.display());
    };
    Ok(Named { netns, path: Some(path), opened: Some(opened) })
}

/// The inode number of an open file, if it is a network namespace.
fn number(opened: &File) -> Option<u32> {
    // SAFETY: the descriptor is open; the call takes no argument and writes nothing.
    let kind = unsafe { libc::ioctl(opened.as_raw_fd(), libc::NS_GET_NSTYPE) };
    let inode = opened.metadata().ok()?.ino();
    (kind == libc::CLONE_NEWNET).then(|| u32::try_from(inode).ok())?
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::path::Path;

    #[test]
    fn our_own_has_a_pid_a_path_and_a_number() {
        let root = Path::new("/");
        let own = super::super::inode(Path::new("/proc/self/ns/net")).unwrap();
        let by_pid = find(root, &std::process::id().to_string()).unwrap();
        assert_eq!(by_pid.netns, own);
        assert_eq!(find(root, "/proc/self/ns/net").unwrap().netns, own);
        let by_number = find(root, &own.to_string()).unwrap();
        assert_eq!((by_number.netns, by_number.path), (own, None));
    }

    #[test]
    fn what_is_none_is_named_with_the_cure() {
        let root = tempfile::tempdir().unwrap();
        for text in ["nowhere", "77", "/nowhere/at/all"] {
            let error = format!("{:#}", find(root.path(), text).unwrap_err());
            assert!(error.contains(text) && error.contains("lsns"), "{error}");
        }
        for text in ["/proc/self/ns/uts", "/proc/self/status"] {
            let error = find(root.path(), text).unwrap_err().to_string();
            assert!(error.contains("is not a network namespace"), "{error}");
        }
    }
}
