//! Finds out whether a listener has `TCP_DEFER_ACCEPT` set. Neither `sock_diag` nor `/proc` shows
//! it, only `getsockopt`, so this needs a copy of the descriptor from a process that holds the
//! socket.
//!
//! The copy exists for two system calls and keeps the socket open in the meantime. It changes
//! nothing, and the owner does not notice. It is made only if a finding depends on the answer.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// The number of processes to try: if the first one is refused, usually all are.
const TRIED: usize = 4;

/// Tries the holders of the socket with this inode number. None if there is no permission (the
/// kernel requires that of a debugger) or the kernel is older than 5.6.
pub(super) fn is_set(inode: u64, pids: &[u32]) -> Option<bool> {
    pids.iter().take(TRIED).find_map(|pid| {
        let socket = copy(*pid, inode)?;
        defer_accept(&socket)
    })
}

/// Duplicates the descriptor that a process has of this socket.
fn copy(pid: u32, inode: u64) -> Option<OwnedFd> {
    let number = descriptor(pid, inode)?;
    let process = pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()?;
    let copy = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
    // The descriptor number may have been reused for another file.
    (rustix::fs::fstat(&copy).ok()?.st_ino == inode).then_some(copy)
}

/// The descriptor number of this socket in a process.
fn descriptor(pid: u32, inode: u64) -> Option<RawFd> {
    let wanted = format!("socket:[{inode}]");
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    folder.flatten().find_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        (target == Path::new(&wanted)).then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

fn defer_accept(socket: &OwnedFd) -> Option<bool> {
    let mut seconds: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&seconds)).ok()?;
    // SAFETY: both pointers are to locals that outlive the call, and the length is that of the
    // value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw mut seconds).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::is_set;
    use rustix::fs::fstat;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_listener_of_ours_tells() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = fstat(&socket).unwrap().st_ino;
        let ours = [std::process::id()];
        assert_eq!(is_set(inode, &ours), Some(false));
        let seconds: libc::c_int = 4;
        // SAFETY: the pointer is to a local of that length.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_DEFER_ACCEPT,
                (&raw const seconds).cast(),
                u32::try_from(size_of_val(&seconds)).unwrap(),
            )
        };
        assert_eq!(result, 0);
        assert_eq!(is_set(inode, &ours), Some(true));
        // A process that does not hold the socket, and one that does not exist.
        assert_eq!((is_set(inode, &[1, u32::MAX]), is_set(u64::MAX, &ours)), (None, None));
    }
}
