//! A pseudo-terminal for a tested program.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Opens a pseudo-terminal: our end, and the tested program's.
///
/// # Panics
/// If none can be opened.
#[must_use]
pub fn open() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: places for two descriptors that outlive the call; no name, no settings.
    let done =
        unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(done, 0, "no terminal: {}", io::Error::last_os_error());
    // SAFETY: two descriptors that nobody else knows of yet.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// Its settings, for comparison.
///
/// # Panics
/// If it is not a terminal.
#[must_use]
pub fn settings(terminal: &OwnedFd) -> (u32, u32, u32) {
    // SAFETY: integers and arrays: all zero is a valid value.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and a place that outlives the call.
    let done = unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings) };
    assert_eq!(done, 0);
    (settings.c_iflag, settings.c_oflag, settings.c_lflag)
}
