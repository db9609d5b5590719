//! The part of epoll(7) that a server and many clients in one thread need.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::c_int;

/// The maximum number of events per call.
const BATCH: usize = 64;

/// An epoll instance; closed when dropped.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// Creates an instance.
    ///
    /// # Errors
    /// When no file descriptor is left.
    pub fn new() -> Result<Self> {
        // SAFETY: takes a flag only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else has.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `file` for `events`, which are reported with `token`, until the file is closed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add(&self, file: &impl AsRawFd, events: c_int, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        // SAFETY: `event` outlives the call, which copies it.
        let done = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                file.as_raw_fd(),
                &raw mut event,
            )
        };
        if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// Waits at most `limit` (rounded up to a millisecond), and returns the tokens of files with
    /// events. Returns none after a signal.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wait(&self, limit: Duration) -> Result<Vec<u64>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let limit = c_int::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
        // SAFETY: `events` has room for BATCH events and outlives the call.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                c_int::try_from(BATCH).unwrap_or(1),
                limit,
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(events[..count].iter().map(|event| event.u64).collect()),
            Err(_) => match Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => Ok(Vec::new()),
                error => Err(error),
            },
        }
    }
}
