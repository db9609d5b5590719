//! Optional events of the main loop: one that is missing never fires.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use backlog_core::run::command::CommandEnd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, sleep_until};

use crate::commands::trace::child::Bounding;
use crate::output::tui::inputs::{Input, Inputs};

/// Watches stdout for a reader that goes away, if it can. An idle run would only notice a closed
/// pipe at the next write, and stay attached until then.
pub(super) fn watch_stdout() -> Option<AsyncFd<OwnedFd>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().ok()?;
    // SAFETY: it owns its descriptor. A regular file cannot be watched: no matter.
    unsafe { AsyncFd::register_with_interest(stdout, Interest::ERROR) }.ok()
}

/// Resolves when stdout has no reader any more.
pub(super) async fn reader_gone(stdout: Option<&AsyncFd<OwnedFd>>) {
    match stdout {
        // The only event is that the other end is gone.
        Some(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => pending().await,
    }
}

/// Resolves at this time.
pub(super) async fn at(moment: Option<std::time::Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

/// Resolves at a key or a change of the screen size.
pub(super) async fn next(inputs: Option<&mut Inputs>) -> Input {
    match inputs {
        Some(inputs) => inputs.next().await,
        None => pending().await,
    }
}

/// Resolves when the duration has passed.
pub(super) async fn at_most(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => pending().await,
    }
}

/// Resolves when the command has ended.
pub(super) async fn wait_for(command: Option<&mut Bounding>) -> Result<CommandEnd> {
    match command {
        Some(command) => command.wait().await,
        None => pending().await,
    }
}
