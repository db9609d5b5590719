//! `--cmd`: a command that bounds the run. It runs in its own process group, so that its children
//! can be ended with it. The group is signalled only until its leader is reaped, since its number
//! may then be reused.

pub(super) mod passing;
mod waiting;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog_core::run::command::CommandEnd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

pub(crate) use waiting::Waiting;
pub(super) use waiting::keep_zombies;

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long it may take after SIGKILL. After that it is stuck in the kernel and is left alone.
const KILLED: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A running command. Dropping it kills its whole group.
pub(crate) struct Bounding {
    group: Arc<Group>,
    /// Becomes readable when the leader ends.
    leader: AsyncFd<OwnedFd>,
}

/// The processes of the command.
pub(crate) struct Group {
    leader: Pid,
    /// Refers to the leader, even if its number has been reused.
    pidfd: OwnedFd,
    /// The leader was reaped, and the group's number is free.
    reaped: Mutex<bool>,
}

impl Bounding {
    /// Watches the command. Must be called within a runtime.
    fn of(group: Arc<Group>) -> io::Result<Self> {
        let watched = group.pidfd.try_clone().and_then(|watched| {
            // SAFETY: it owns its descriptor, which stays open for as long as this lives.
            let leader = unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) };
            leader.map_err(io::Error::from)
        });
        match watched {
            Ok(leader) => Ok(Self { group, leader }),
            Err(error) => {
                group.kill();
                Err(error)
            }
        }
    }

    /// The processes of the command.
    pub(crate) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Waits until the leader ends. Does not reap it, since others of its group may still run.
    pub(crate) async fn wait(&mut self) -> Result<CommandEnd> {
        loop {
            let mut ready = self.leader.readable().await.context("waiting for --cmd")?;
            if let Some(end) = self.group.ended().context("waiting for --cmd")? {
                return Ok(end);
            }
            ready.clear_ready();
        }
    }

    /// Ends the command and its background processes.
    pub(crate) async fn stop(mut self) {
        self.group.signal(Signal::TERM);
        // In time or not, the drop kills the remaining processes.
        let _ = timeout(GRACE, self.wait()).await;
    }
}

impl Group {
    pub(super) fn new(leader: Pid, pidfd: OwnedFd) -> Self {
        Self { leader, pidfd, reaped: Mutex::new(false) }
    }

    /// Becomes readable when the leader ends.
    pub(super) fn leader(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How the leader ended, if it has. Can be called repeatedly.
    pub(super) fn ended(&self) -> io::Result<Option<CommandEnd>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        Ok(status.map(|status| CommandEnd {
            exit_code: status.exit_status(),
            signal: status.terminating_signal(),
            stopped: false,
        }))
    }

    /// Signals the group, unless its number is free.
    pub(super) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // The group may have no processes left.
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Kills the group and reaps its leader; further calls do nothing.
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

#[cfg(test)]
mod tests;
