//! The process that becomes the command of `--cmd`. It is forked before the tool gives up any right
//! and before its first thread, so that the command has the rights, the signal mask, the limits and
//! the umask of the caller. It waits for a descriptor and then calls exec.

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

/// See the module's head. When it is dropped, and when the tool ends in any way, the process ends
/// without having started the command.
pub(crate) struct Waiting {
    text: String,
    leader: Pid,
    pub(super) pidfd: OwnedFd,
    /// The process takes its stderr from this, and sends on it why exec has failed.
    line: OwnedFd,
}

impl Waiting {
    /// Forks the process. Must be called while there is one thread: only the calling one goes on in
    /// the fork, where locks of the others would stay taken.
    pub(crate) fn fork(text: &str) -> Result<Self> {
        forked(text).with_context(|| what(text))
    }

    /// Starts `sh -c` of the command. Our stdout is for data, so its output goes to stderr. Must be
    /// called within a runtime.
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
    // Nobody else reaps it, so the number is its own. Both ends put it into its group, so that
    // neither can come too late.
    let pidfd = pidfd_open(leader, PidfdFlags::empty())
        .and_then(|pidfd| setpgid(Some(leader), Some(leader)).map(|()| pidfd))
        .inspect_err(|_| {
            let _ = kill_process(leader, Signal::KILL);
        })?;
    Ok(Waiting { text: text.to_owned(), leader, pidfd, line })
}

/// In the fork: returns the exit status if it does not become the command.
fn become_command(mut command: Command, line: &OwnedFd) -> i32 {
    const NOT_STARTED: i32 = 127;
    let started = setpgid(None, None).map_err(io::Error::from).and_then(|()| {
        let Some((_, stderr)) = receive(line, &mut [0])? else { return Ok(()) };
        command.stdout(Stdio::from(stderr.try_clone()?)).stderr(Stdio::from(stderr));
        // It returns only with an error.
        Err(command.exec())
    });
    match started {
        // The tool has ended, or does not want the command any more.
        Ok(()) => 0,
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(libc::EIO);
            // If nobody reads it, nobody waits for the command either.
            let _ = write(line, &number.to_ne_bytes());
            NOT_STARTED
        }
    }
}

/// Waits for exec, which closes the line, or for the reason why it has failed.
fn started(line: &OwnedFd) -> io::Result<()> {
    let mut number = [0; size_of::<i32>()];
    match retry_on_intr(|| read(line, &mut number))? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number))),
    }
}

/// A parent may have set SIGCHLD to be ignored: then the kernel reaps a child as soon as it ends,
/// and its number is free while we still use it.
pub(crate) fn keep_zombies() {
    // SAFETY: the default action runs no function of ours, and no other code of this process handles SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
