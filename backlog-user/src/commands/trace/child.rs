//! `--cmd`: a command that bounds the run. It gets a process group of its own, so that its children
//! end with it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog_core::run::command::CommandEnd;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The time that a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// A running command. Dropped, it is killed with all of its group.
pub(crate) struct Bounding {
    child: Child,
    group: libc::pid_t,
}

impl Bounding {
    /// Starts it by `sh -c`. Our stdout is for data, so its output goes to stderr.
    pub(crate) fn start(text: &str) -> Result<Self> {
        let child = Command::new("sh")
            .args(["-c", text])
            .stdin(Stdio::null())
            .stdout(Stdio::from(io::stderr()))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting --cmd: sh -c '{text}'"))?;
        let group = child.id().and_then(|id| libc::pid_t::try_from(id).ok()).unwrap_or(0);
        Ok(Self { child, group })
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Result<CommandEnd> {
        let status = self.child.wait().await.context("waiting for --cmd")?;
        Ok(ended(status))
    }

    /// Ends it and its background processes.
    pub(crate) async fn stop(mut self) {
        self.signal(libc::SIGTERM);
        // In time or not: remaining processes are killed when this is dropped.
        let _ = timeout(GRACE, self.child.wait()).await;
    }

    fn signal(&self, signal: libc::c_int) {
        if self.group > 1 {
            // SAFETY: a signal to the group that we made; it holds no pointer.
            unsafe { libc::kill(-self.group, signal) };
        }
    }
}

fn ended(status: ExitStatus) -> CommandEnd {
    CommandEnd { exit_code: status.code(), signal: status.signal(), stopped: false }
}

impl Drop for Bounding {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}
