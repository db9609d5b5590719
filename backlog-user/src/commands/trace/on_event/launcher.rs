//! The process that starts the command of `--on-event`. Like that of `--cmd`, it is forked before
//! the tool drops its rights and starts its first thread: the tool itself cannot start programs
//! during the run, and the command has the rights, limits and umask of the caller. The tool sends
//! it events; the command is fixed when it is forked. When the tool ends in any way, this process
//! ends the running commands and itself.

mod commands;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::exit;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, shutdown,
    socketpair,
};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, setpgid, waitid};

use super::LIMIT;
use crate::commands::trace::child::{keep_zombies, passing};
use commands::Commands;

/// The maximum size of an event. Only unrealistically long names exceed it.
const LONGEST: usize = 32 << 10;

/// See the module documentation.
pub(crate) struct Launcher {
    text: String,
    pub(super) line: OwnedFd,
    pidfd: OwnedFd,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Signalled(i32),
    /// It ran for too long and was stopped.
    TooLong,
    /// It was stopped because the run was over.
    Stopped,
    /// It was not started, because of this error.
    NotStarted(i32),
}

impl Launcher {
    /// Forks the process. Must be called while there is only one thread: others would not exist in
    /// the fork, where their locks would stay taken.
    pub(crate) fn fork(text: &str) -> Result<Self> {
        forked(text, LIMIT).context("starting the process that starts the command of --on-event")
    }

    /// The command line.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Starts the command with this event, unless the process is too busy to take it.
    pub(super) fn start(&self, event: &[u8]) -> io::Result<()> {
        if event.len() > LONGEST {
            return Err(Errno::MSGSIZE.into());
        }
        // Use the current stderr, since the full screen redirects it.
        let stderr = io::stderr();
        passing::send(&self.line, event, stderr.as_fd(), SendFlags::DONTWAIT)
    }

    /// The next report; None if there is none yet. An error means that the process is gone.
    pub(super) fn report(&self) -> io::Result<Option<Report>> {
        let mut bytes = [0; Report::SIZE];
        match recv(&self.line, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(Errno::PIPE.into()),
            Ok((_, size)) => {
                let bytes = bytes.get(..size).and_then(|bytes| bytes.try_into().ok());
                bytes.and_then(Report::parse).map(Some).ok_or_else(|| Errno::BADMSG.into())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts no more commands, and ends the running ones.
    pub(super) fn stop(&self) {
        // If the process is gone, its commands have ended.
        let _ = shutdown(&self.line, Shutdown::Write);
    }
}

impl Drop for Launcher {
    /// Reaps the process if it has ended. Otherwise it ends by itself once the line is closed.
    fn drop(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
    }
}

/// Forks the process; `limit` is the maximum run time of a command.
fn forked(text: &str, limit: Duration) -> io::Result<Launcher> {
    keep_zombies();
    let (line, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // SAFETY: in the fork, this thread goes on with memory of its own; callers have no other thread
    // that could have left it in between.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(line);
            let ended = Commands::prepare(text, limit).and_then(|commands| commands.run(&theirs));
            exit(i32::from(ended.is_err()))
        }
        child => child,
    };
    let child = Pid::from_raw(child).ok_or_else(|| io::Error::other("fork() gave no number"))?;
    // Nobody else reaps it, so the number is still its own. Parent and child both set the process
    // group, so that neither can be too late: a Ctrl-C at the terminal must not reach it.
    setpgid(Some(child), Some(child))?;
    let pidfd = pidfd_open(child, PidfdFlags::empty())?;
    Ok(Launcher { text: text.to_owned(), line, pidfd })
}

impl Report {
    /// Size of an encoded report in bytes.
    const SIZE: usize = 8;

    fn bytes(self) -> [u8; Self::SIZE] {
        let (kind, number) = match self {
            Self::Exited(status) => (0, status),
            Self::Signalled(signal) => (1, signal),
            Self::TooLong => (2, 0),
            Self::Stopped => (3, 0),
            Self::NotStarted(errno) => (4, errno),
        };
        let [a, b, c, d] = i32::to_ne_bytes(number);
        [kind, 0, 0, 0, a, b, c, d]
    }

    fn parse([kind, _, _, _, number @ ..]: [u8; Self::SIZE]) -> Option<Self> {
        let number = i32::from_ne_bytes(number);
        Some(match kind {
            0 => Self::Exited(number),
            1 => Self::Signalled(number),
            2 => Self::TooLong,
            3 => Self::Stopped,
            4 => Self::NotStarted(number),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
