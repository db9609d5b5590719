//! The sockets among a process's descriptors. One `readlinkat` each below an open folder
//! and no memory of its own: a walk over a host asks this of every descriptor there is.

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw};
use rustix::io::Errno;

/// Room for some hundred names at once.
const ENTRIES: usize = 8192;
/// Room for `socket:[18446744073709551615]`. Of a longer link only the begin is seen, and
/// that is no socket's.
const LINK: usize = 32;

/// Opens a folder.
pub(super) fn folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    open(CWD, path)
}

/// The processes that a `/proc` shows. Threads are not listed there: those of a process
/// share its descriptors.
pub(super) fn processes(proc_root: BorrowedFd<'_>) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut room = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(proc_root, &mut room);
    while let Some(Ok(entry)) = entries.next() {
        pids.extend(number::<u32>(entry.file_name().to_bytes()));
    }
    pids
}

/// Calls `found` with the inode number of every socket that a process holds, once for each
/// descriptor, and gives the number of all its descriptors. One that has ended has none.
pub(super) fn sockets(
    proc_root: BorrowedFd<'_>,
    pid: u32,
    mut found: impl FnMut(u64),
) -> rustix::io::Result<usize> {
    let folder = open(proc_root, Path::new(&format!("{pid}/fd")))?;
    let mut count = 0;
    let mut room = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(&folder, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if number::<u32>(entry.file_name().to_bytes()).is_none() {
            continue;
        }
        let mut room = [MaybeUninit::uninit(); LINK];
        match readlinkat_raw(&folder, entry.file_name(), &mut room) {
            Ok((link, _)) => {
                count += 1;
                if let Some(inode) = socket(link) {
                    found(inode);
                }
            }
            // It has just been closed.
            Err(Errno::NOENT) => {}
            // The folder opens for its owner and the links need more; what is true of one
            // is true of all.
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Was it that the process had ended?
pub(super) fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

fn open(at: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The inode number in `socket:[4711]`.
fn socket(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{folder, is_gone, processes, sockets};
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn only_sockets_are_told_and_all_descriptors_counted() {
        let root = tempfile::tempdir().unwrap();
        let folder_of_77 = root.path().join("77/fd");
        fs::create_dir_all(&folder_of_77).unwrap();
        for (name, target) in [
            ("0", "/dev/null"),
            ("1", "socket:[18446744073709551615]"),
            ("2", "socket:[5]"),
            ("3", "socket:[]"),
            ("4", "pipe:[6]"),
            ("5", "/socket:[7] (deleted), and a name longer than the room"),
            ("6", "socket:[8"),
        ] {
            symlink(target, folder_of_77.join(name)).unwrap();
        }
        let root = folder(root.path()).unwrap();
        let mut found = Vec::new();
        assert_eq!(sockets(root.as_fd(), 77, |inode| found.push(inode)), Ok(7));
        found.sort_unstable();
        assert_eq!(found, [5, u64::MAX]);
        assert!(is_gone(sockets(root.as_fd(), 78, |_| {}).unwrap_err()));
    }

    #[test]
    fn processes_are_numbers() {
        let root = tempfile::tempdir().unwrap();
        for name in ["1", "77", "self", "4294967296", "77x"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let root = folder(root.path()).unwrap();
        let mut pids = processes(root.as_fd());
        pids.sort_unstable();
        assert_eq!(pids, [1, 77]);
        let real = folder(Path::new("/proc")).unwrap();
        assert!(processes(real.as_fd()).contains(&std::process::id()));
    }
}
