//! The process that becomes the command of `--cmd`. It is forked before the tool drops its rights
//! and starts its first thread, so that the command has the rights, signal mask, limits and umask
//! of the caller. It waits for a descriptor and then calls exec.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::io::{read, retry_on_intr, write};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, setpgid};

use super::passing::{receive, send};
use super::{Bounding, Group};

/// The forked process. If this is dropped, or the tool ends in any way, the process ends without
/// running the command.
pub(crate) struct Waiting {
    text: String,
    leader: Pid,
    pub(super) pidfd: OwnedFd,
    /// The process receives its stderr over this, and sends the error if exec fails.
    line: OwnedFd,
}

impl Waiting {
    /// Forks the process. Must be called while there is only one thread: others would not exist in
    /// the fork, where their locks would stay taken.
    pub(crate) fn fork(text: &str) -> Result<Self> {
        forked(text).with_context(|| what(text))
    }

    /// Runs the command with `sh -c`. Its output goes to stderr, since our stdout is for data. Must
    /// be called within a runtime.
    pub(crate) fn start(self) -> Result<Bounding> {
        let Self { text, leader, pidfd, line } = self;
        let start = || {
            let bounding = Bounding::of(Arc::new(Group::new(leader, pidfd)))?;
            let stderr = io::stderr();
            send(&line, &[0], stderr.as_fd(), SendFlags::empty())?;
            started(&line)?;
            Ok::<_, io::Error>(bounding)
        };
        start().with_context(|| what(&text))
    }
}

fn what(text: &str) -> String {
    format!("starting --cmd: sh -c '{text}'")
}

fn forked(text: &str) -> io::Result<Waiting> {
    keep_zombies();
    let mut command = Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null());
    let (line, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: in the fork, this thread goes on with memory of its own; callers have no other thread
    // that could have left it in between.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(line);
            exit(become_command(command, &theirs))
        }
        child => child,
    };
    let leader = Pid::from_raw(child).ok_or_else(|| io::Error::other("fork() gave no number"))?;
    // Nobody else reaps it, so the number is still its own. Parent and child both set the process
    // group, so that neither can be too late.
    let pidfd = pidfd_open(leader, PidfdFlags::empty())
        .and_then(|pidfd| setpgid(Some(leader), Some(leader)).map(|()| pidfd))
        .inspect_err(|_| {
            let _ = kill_process(leader, Signal::KILL);
        })?;
    Ok(Waiting { text: text.to_owned(), leader, pidfd, line })
}

/// Runs in the fork. Returns the exit status if it does not become the command.
fn become_command(mut command: Command, line: &OwnedFd) -> i32 {
    const NOT_STARTED: i32 = 127;
    let started = setpgid(None, None).map_err(io::Error::from).and_then(|()| {
        let Some((_, stderr)) = receive(line, &mut [0])? else { return Ok(()) };
        command.stdout(Stdio::from(stderr.try_clone()?)).stderr(Stdio::from(stderr));
        // It returns only on an error.
        Err(command.exec())
    });
    match started {
        // The tool has ended, or has dropped the command.
        Ok(()) => 0,
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(libc::EIO);
            // If nobody reads the error, nobody waits for the command either.
            let _ = write(line, &number.to_ne_bytes());
            NOT_STARTED
        }
    }
}

/// Waits for exec, which closes the line, or for its error.
fn started(line: &OwnedFd) -> io::Result<()> {
    let mut number = [0; size_of::<i32>()];
    match retry_on_intr(|| read(line, &mut number))? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number))),
    }
}

/// Resets SIGCHLD, which a parent may have set to be ignored: the kernel would then reap a child as
/// soon as it ends, and free its number while we still use it.
pub(crate) fn keep_zombies() {
    // SAFETY: the default action runs no function of ours, and no other code of this process handles SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
