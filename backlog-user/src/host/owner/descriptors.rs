//! Finds the sockets among a process's descriptors, and checks whether this process may read them.

use std::io;
use std::path::Path;

use procfs::process::{FDTarget, Process as Folder};
use procfs::{ProcError, ProcResult};

/// Opens the folder of a process in a `/proc`.
pub(super) fn open(proc_root: &Path, pid: u32) -> ProcResult<Folder> {
    Folder::new_with_root(proc_root.join(pid.to_string()))
}

/// Calls `found` with the inode number of every socket of a process, once per descriptor, and
/// returns the number of all its descriptors.
pub(super) fn sockets(process: &Folder, mut found: impl FnMut(u64)) -> ProcResult<usize> {
    let mut count = 0;
    for descriptor in process.fd()? {
        count += 1;
        if let FDTarget::Socket(inode) = descriptor?.target {
            found(inode);
        }
    }
    // The library skips links that may not be read: with CAP_DAC_READ_SEARCH alone, the folder
    // opens but seems empty. Reading the link to the executable needs the same right.
    if count == 0
        && let Err(error @ ProcError::PermissionDenied(_)) = process.exe()
    {
        return Err(error);
    }
    Ok(count)
}

/// Does the error mean that the process has ended? Its links are then missing, and files that are
/// still open fail with ESRCH.
pub(super) fn is_gone(error: &ProcError) -> bool {
    match error {
        ProcError::NotFound(_) => true,
        ProcError::Io(error, _) => {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_gone, open, sockets};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_sockets_are_told_and_all_descriptors_counted() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("77/fd");
        fs::create_dir_all(&folder).unwrap();
        for (name, target) in [
            ("0", "/dev/null"),
            ("1", "socket:[18446744073709551615]"),
            ("2", "socket:[5]"),
            ("3", "anon_inode:[eventpoll]"),
            ("4", "pipe:[6]"),
            ("5", "/srv/socket:[7]"),
        ] {
            symlink(target, folder.join(name)).unwrap();
        }
        let mut found = Vec::new();
        let process = open(root.path(), 77).unwrap();
        assert_eq!(sockets(&process, |inode| found.push(inode)).unwrap(), 6);
        found.sort_unstable();
        assert_eq!(found, [5, u64::MAX]);
        assert!(is_gone(&open(root.path(), 78).unwrap_err()));
        fs::remove_dir_all(root.path().join("77")).unwrap();
        assert!(is_gone(&sockets(&process, |_| {}).unwrap_err()));
    }

    #[test]
    fn one_that_has_ended_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = open("/proc".as_ref(), child.id()).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(is_gone(&sockets(&process, |_| {}).unwrap_err()));
    }
}
