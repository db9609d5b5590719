//! epoll(7), as far as a server and many clients in one thread need it.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::c_int;

/// Most events taken at once.
const BATCH: usize = 64;

/// An epoll instance; closed when dropped.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// Makes one.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub fn new() -> Result<Self> {
        // SAFETY: takes a flag only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else has.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `file` for `events`; they are reported with `token`. Closing
    /// the file ends the watch.
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

    /// The tokens of files with something to report, at most after `limit`
    /// (rounded up to a millisecond). A signal counts as "none".
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
