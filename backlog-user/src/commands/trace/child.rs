//! `--cmd`: a command that bounds the run. It gets a process group of its own, so that its children
//! end with it. The group is signalled only while its leader, dead or alive, is not reaped: after
//! that its number may be another process's.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog_core::run::command::CommandEnd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// The time that a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// The time that it may take after SIGKILL. Then it is stuck in the kernel and is left alone.
const KILLED: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A running command. Dropped, it is killed with all of its group.
pub(crate) struct Bounding {
    group: Arc<Group>,
    /// Readable when the leader has ended.
    leader: AsyncFd<OwnedFd>,
}

/// The processes of the command.
pub(crate) struct Group {
    leader: Pid,
    /// Names the leader, even when its number is another process's.
    pidfd: OwnedFd,
    /// The leader is reaped, and the group's number is free.
    reaped: Mutex<bool>,
}

impl Bounding {
    /// Starts it by `sh -c`. Our stdout is for data, so its output goes to stderr. Must be called
    /// within a runtime.
    pub(crate) fn start(text: &str) -> Result<Self> {
        let what = || format!("starting --cmd: sh -c '{text}'");
        keep_zombies();
        let child = Command::new("sh")
            .args(["-c", text])
            .stdin(Stdio::null())
            .stdout(Stdio::from(io::stderr()))
            .process_group(0)
            .spawn()
            .with_context(what)?;
        let leader = Pid::from_child(&child);
        // Nobody else reaps it, so the number is still its own.
        let pidfd = pidfd_open(leader, PidfdFlags::empty()).map_err(io::Error::from);
        let pidfd = pidfd.inspect_err(|_| {
            let _ = kill_process_group(leader, Signal::KILL);
        });
        let pidfd = pidfd.with_context(what)?;
        let watched = pidfd.try_clone().with_context(what)?;
        let group = Arc::new(Group { leader, pidfd, reaped: Mutex::new(false) });
        // SAFETY: it owns its descriptor, which stays open for as long as this lives.
        let leader = unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) };
        let leader = match leader {
            Ok(leader) => leader,
            Err(error) => {
                group.kill();
                return Err(anyhow::Error::from(error).context(what()));
            }
        };
        Ok(Self { group, leader })
    }

    /// Its processes.
    pub(crate) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Waits for its end. It is not reaped: others of its group may still run.
    pub(crate) async fn wait(&mut self) -> Result<CommandEnd> {
        loop {
            let mut ready = self.leader.readable().await.context("waiting for --cmd")?;
            if let Some(end) = self.group.ended().context("waiting for --cmd")? {
                return Ok(end);
            }
            ready.clear_ready();
        }
    }

    /// Ends it and its background processes.
    pub(crate) async fn stop(mut self) {
        self.group.signal(Signal::TERM);
        // In time or not: remaining processes are killed when this is dropped.
        let _ = timeout(GRACE, self.wait()).await;
    }
}

impl Group {
    /// How the leader has ended, if it has. It stays what it is.
    fn ended(&self) -> io::Result<Option<CommandEnd>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        Ok(status.map(|status| CommandEnd {
            exit_code: status.exit_status(),
            signal: status.terminating_signal(),
            stopped: false,
        }))
    }

    /// Signals the group while it is ours.
    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // All of them may have ended.
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Kills the group and reaps its leader. A second time does nothing.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        let mut reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return;
        }
        let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&KILLED));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
        *reaped = !matches!(status, Ok(None));
    }
}

impl Drop for Bounding {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// A parent may have set SIGCHLD to be ignored: then the kernel reaps a child as soon as it ends,
/// and its number is free while we still use it.
fn keep_zombies() {
    // SAFETY: the default action runs no function of ours, and no other code of this process handles SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests;
