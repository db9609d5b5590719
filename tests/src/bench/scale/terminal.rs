//! A terminal for a program to write to. Into a pipe or file, most programs would write their first
//! line only at the end.

use std::fs::File;
use std::io::{Error, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Our end of the terminal.
#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// Opens a terminal; the other end is for the program.
    pub(super) fn open() -> Result<(Self, Stdio)> {
        let (mut ours, mut theirs) = (-1, -1);
        let null = std::ptr::null_mut();
        // SAFETY: places for two descriptors that outlive the call; no name, no settings.
        let done = unsafe {
            libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast())
        };
        if done != 0 {
            return Err(Error::last_os_error()).context("cannot open a terminal (no /dev/pts?)");
        }
        // SAFETY: two descriptors that nobody else knows of yet.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        // SAFETY: plain numbers, and a descriptor that is open. The program must not have ours.
        if unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
            return Err(Error::last_os_error()).context("cannot keep a terminal to ourselves");
        }
        Ok((Self(ours.into()), theirs.into()))
    }

    /// Waits for the first line.
    pub(super) fn first_line(&mut self, limit: Duration) -> Result<String> {
        let (start, mut text) = (Instant::now(), Vec::new());
        loop {
            if let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                let line = text.get(..end).unwrap_or_default();
                return Ok(String::from_utf8_lossy(line).trim().to_owned());
            }
            self.wait(limit.saturating_sub(start.elapsed()))?;
            let mut bytes = [0; 256];
            match self.0.read(&mut bytes) {
                Ok(size @ 1..) => text.extend_from_slice(bytes.get(..size).unwrap_or_default()),
                // This is the notification that the other end is closed.
                _ => bail!("it ended without a line"),
            }
        }
    }

    fn wait(&self, limit: Duration) -> Result<()> {
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that outlives the call.
        match unsafe { libc::poll(&raw mut poll, 1, limit_ms) } {
            1 => Ok(()),
            0 => bail!("no line in time"),
            _ => Err(Error::last_os_error()).context("cannot wait for a line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_first_line_comes_when_it_is_written() {
        let (mut terminal, theirs) = Terminal::open().unwrap();
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", "echo one; echo two"]).stdout(theirs).spawn().unwrap();
        drop(command);
        assert_eq!(terminal.first_line(Duration::from_secs(10)).unwrap(), "one");
        child.wait().unwrap();
    }

    #[test]
    fn a_program_without_a_line_is_no_reason_to_wait() {
        let (mut terminal, theirs) = Terminal::open().unwrap();
        let mut command = Command::new("true");
        let mut child = command.stdout(theirs).spawn().unwrap();
        drop(command);
        let error = terminal.first_line(Duration::from_secs(10)).unwrap_err().to_string();
        assert_eq!(error, "it ended without a line");
        child.wait().unwrap();
    }
}
