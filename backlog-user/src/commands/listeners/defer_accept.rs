//! Whether a listener has `TCP_DEFER_ACCEPT` set. The kernel shows it nowhere (not in
//! `sock_diag`, not in `/proc`): it answers `getsockopt` alone, so a copy of the descriptor of
//! a process that holds the socket is needed.
//!
//! The copy lives for two system calls and keeps the socket open meanwhile; nothing is changed,
//! and the owner does not notice. It is made only where a finding depends on the answer.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// The number of processes to try: if the first one is not permitted, usually none is.
const TRIED: usize = 4;

/// Asks the holders of the socket with this inode number; none: no right (the kernel wants that
/// of a debugger), or an old kernel (before 5.6).
pub(super) fn is_set(inode: u64, pids: &[u32]) -> Option<bool> {
    pids.iter().take(TRIED).find_map(|pid| {
        let socket = copy(*pid, inode)?;
        defer_accept(&socket)
    })
}

/// A copy of the descriptor that a process has of this socket.
fn copy(pid: u32, inode: u64) -> Option<OwnedFd> {
    let number = descriptor(pid, inode)?;
    let process = pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()?;
    let copy = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
    // The number may be another file's by now.
    (rustix::fs::fstat(&copy).ok()?.st_ino == inode).then_some(copy)
}

/// The number of the descriptor that a process has of this socket.
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
        // A process that does not hold it, and none at all.
        assert_eq!((is_set(inode, &[1, u32::MAX]), is_set(u64::MAX, &ours)), (None, None));
    }
}
