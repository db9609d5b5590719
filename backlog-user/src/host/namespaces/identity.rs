//! Identifies a thread's network namespace beyond its inode number, which the kernel reuses at
//! once.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;

use backlog_core::event::low;

/// How to read the identity.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identify {
    /// The kernel does not provide one.
    #[default]
    Unknown,
    /// From a socket's namespace cookie (5.14).
    Cookie,
    /// From an iterator program on `iter/tcp`.
    Iterator(Arc<OwnedFd>),
}

/// `SO_NETNS_COOKIE`
const SO_NETNS_COOKIE: libc::c_int = 71;
/// Commands and constants of bpf(2).
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
/// `BPF_TRACE_ITER`
const TRACE_ITER: u32 = 28;

impl Identify {
    /// Does this kernel have namespace cookies?
    pub(crate) fn has_cookies() -> bool {
        cookie().is_ok()
    }

    /// The lower half of the identity of this thread's namespace; None if unknown.
    pub(crate) fn here(&self) -> Option<u32> {
        match self {
            Self::Unknown => None,
            Self::Cookie => cookie().ok().map(low),
            // The upper half holds the namespace's random number.
            Self::Iterator(program) => iterated(program).ok().map(|number| low(number >> 32)),
        }
    }
}

/// Owns the descriptor that a system call has returned.
fn owned(returned: libc::c_long) -> io::Result<OwnedFd> {
    match libc::c_int::try_from(returned) {
        // SAFETY: it is new, and nothing else owns it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn cookie() -> io::Result<u64> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers only.
    let socket = owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }.into())?;
    let mut cookie = 0_u64;
    let mut length = 8;
    // SAFETY: both are locals, and the length is that of the first.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 && cookie != 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

fn iterated(program: &OwnedFd) -> io::Result<u64> {
    let number = |descriptor: &OwnedFd| descriptor.as_raw_fd().cast_unsigned();
    // The fields are: the program, no target, the attach type, no flags.
    let link = owned(bpf(BPF_LINK_CREATE, [number(program), 0, TRACE_ITER, 0]))?;
    let iterator = owned(bpf(BPF_ITER_CREATE, [number(&link), 0, 0, 0]))?;
    let mut bytes = [0; 8];
    File::from(iterator).read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Calls bpf(2) with the first fields of its argument; the others are zero.
fn bpf(command: libc::c_long, fields: [u32; 4]) -> libc::c_long {
    let mut argument = [0_u32; 16];
    argument[..fields.len()].copy_from_slice(&fields);
    // SAFETY: the kernel reads a local of the size given.
    unsafe { libc::syscall(libc::SYS_bpf, command, argument.as_ptr(), size_of_val(&argument)) }
}

#[cfg(test)]
mod tests {
    use super::Identify;

    #[test]
    fn a_namespace_has_one_cookie() {
        if Identify::has_cookies() {
            assert!(Identify::Cookie.here().is_some());
            assert_eq!(Identify::Cookie.here(), Identify::Cookie.here());
        }
        assert_eq!(Identify::Unknown.here(), None);
    }
}
