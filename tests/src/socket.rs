//! Functions that socket2 lacks: the state of a listener's queue, TCP options that concern
//! handshakes, and waiting for readability.

use std::fs::File;
use std::io::{Error, Result};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::{c_int, c_long, c_void, socklen_t};

/// From the kernel's socket.h; the number is the same on all but two architectures, on which no
/// test runs.
const SO_MEMINFO: c_int = 55;

/// A listener's accept queue as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The number of connections in it.
    pub depth: u32,
    /// The granted backlog; one more connection than this fits.
    pub limit: u32,
}

/// Reads a listener's queue. For a socket in LISTEN, the kernel stores it in two fields of
/// `tcp_info` that otherwise have another meaning. For an MPTCP listener they are those of its TCP
/// subflow.
///
/// # Errors
/// When the socket is not TCP.
pub fn queue(listener: &impl AsRawFd) -> Result<Queue> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = length_of::<libc::tcp_info>();
    // SAFETY: `info` has room for `length` bytes and both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if done != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: all integers, zero at first: valid whatever the kernel filled.
    let info = unsafe { info.assume_init() };
    Ok(Queue { depth: info.tcpi_unacked, limit: info.tcpi_sacked })
}

/// The number of packets that a listener has discarded for any reason: `sk_drops`. For an MPTCP
/// listener it stays 0, since only its TCP subflow counts.
///
/// # Errors
/// When this is not a socket.
pub fn drops(listener: &impl AsRawFd) -> Result<u64> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut numbers = [0_u32; DROPS + 1];
    let mut length = length_of::<[u32; DROPS + 1]>();
    // SAFETY: `numbers` has room for `length` bytes and both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            numbers.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(numbers[DROPS].into()) } else { Err(Error::last_os_error()) }
}

/// The protocol of a socket that another process holds by a descriptor, such as `IPPROTO_MPTCP`:
/// without a module, there is no other way to find out whether it listens with MPTCP.
///
/// # Errors
/// When the process or the descriptor does not exist, or we may not access it.
pub fn protocol_of(process: u32, file: RawFd) -> Result<c_int> {
    // SAFETY: both take numbers only; what they return is checked.
    let socket = unsafe {
        let process = owned(libc::syscall(libc::SYS_pidfd_open, process, 0))?;
        owned(libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), file, 0))?
    };
    let mut protocol: c_int = 0;
    let mut length = length_of::<c_int>();
    // SAFETY: `protocol` has room for `length` bytes and both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            (&raw mut protocol).cast::<c_void>(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(protocol) } else { Err(Error::last_os_error()) }
}

/// A descriptor that a system call has just made.
fn owned(returned: c_long) -> Result<OwnedFd> {
    match RawFd::try_from(returned) {
        // SAFETY: it is open, and nobody else knows of it.
        Ok(file @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(Error::last_os_error()),
    }
}

/// Sets an integer option of the TCP level.
///
/// # Errors
/// When the kernel refuses.
pub fn set_tcp_option(socket: &impl AsRawFd, option: c_int, value: c_int) -> Result<()> {
    // SAFETY: `value` is a c_int that outlives the call, and the length says so.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast::<c_void>(),
            length_of::<c_int>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Waits until `file` can be read from (for a listener: accepted from), at most `limit`. Returns
/// false after a signal.
///
/// # Errors
/// When poll(2) itself fails.
pub fn readable(file: &impl AsRawFd, limit: Duration) -> Result<bool> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one valid pollfd that outlives the call.
    match unsafe { libc::poll(&raw mut poll, 1, limit) } {
        -1 => match Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => Ok(false),
            error => Err(error),
        },
        ready => Ok(ready > 0),
    }
}

/// Raises the limit of open files to the maximum: a full queue and its clients need more than the
/// usual 1024.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives both calls. A failure leaves the old limit,
    // and a caller that reaches it reports an error.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Gives this thread its own table of descriptors, and takes all that are free in it.
///
/// # Errors
/// When the table cannot be read.
pub fn take_all_descriptors() -> Result<Vec<OwnedFd>> {
    // SAFETY: unshare takes flags only; the thread's descriptors stay open, as copies.
    if unsafe { libc::unshare(libc::CLONE_FILES) } < 0 {
        return Err(Error::last_os_error());
    }
    let first = File::open("/dev/null")?;
    let mut all: Vec<OwnedFd> = Vec::new();
    loop {
        match first.try_clone() {
            Ok(another) => all.push(another.into()),
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                all.push(first.into());
                return Ok(all);
            }
            Err(error) => return Err(error),
        }
    }
}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(socklen_t::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_queue_of_a_listener_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(queue(&listener).unwrap().depth, 0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(readable(&listener, Duration::from_secs(5)).unwrap());
        assert_eq!(queue(&listener).unwrap().depth, 1);
        assert_eq!(drops(&listener).unwrap(), 0);
        let protocol = protocol_of(std::process::id(), listener.as_raw_fd());
        assert_eq!(protocol.unwrap(), libc::IPPROTO_TCP);
    }
}
