//! Output that never blocks its writer for long: a queue, and a thread that does the writes, which
//! may block (a paused pager, a stopped terminal, a slow disk). A slow reader that still reads
//! loses nothing, since a full queue makes the writer wait. A reader that takes nothing for
//! [`STALL`] has stalled: from then on whole lines are dropped and counted, or the output fails.

mod queue;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::rights::threads::spawn;
pub(crate) use queue::Lost;
use queue::Queue;

/// Makes a write beyond `RLIMIT_FSIZE` fail, where the kernel would end the process by SIGXFSZ. A run
/// calls it after its forks, since its commands have the caller's action for the signal.
pub(crate) fn survive_file_limit() {
    // SAFETY: ignoring a signal runs no function of ours, and no other code here handles this one.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// A reader that takes nothing for this long has stalled.
const STALL: Duration = Duration::from_secs(3);

/// How long a flush waits for its bytes to be written. This usually takes microseconds, and keeps
/// stdout and stderr in order if both go to the same terminal.
const SETTLE: Duration = Duration::from_millis(20);

/// The number of bytes that an outlet collects before it queues them without a flush.
const COLLECTED: usize = 64 << 10;

/// Pipes and terminals accept this much as soon as they have room, so the thread notices every step
/// of a slow reader. Files get more at once.
const CHUNK: usize = 4 << 10;
const FILE_CHUNK: usize = 64 << 10;

/// The run is ending while programs are attached, so no write may wait.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Sets whether writes must not wait for a reader.
pub(crate) fn hurry(hurry: bool) {
    ENDING.store(hurry, Ordering::SeqCst);
}

/// The number of successful writes of all outlets.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// The number of successful writes so far: it grows while a reader reads.
pub(crate) fn writes() -> u64 {
    WRITES.load(Ordering::Relaxed)
}

/// The destination of the bytes.
pub(crate) enum Target {
    Stdout,
    Stderr,
    File(File),
}

/// What to do if the reader stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnStall {
    /// Drop and count whole lines until it reads again.
    Lose,
    /// Fail, since the output is useless with a part missing.
    Fail,
}

/// A writer. Its clones write to the same queue.
pub(crate) struct Outlet {
    queue: Arc<Shared>,
    /// Bytes that are not in the queue yet.
    collected: Vec<u8>,
}

/// The writers' side of a queue. When the last one is dropped, the thread ends.
struct Shared(Arc<Queue>);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Deref for Shared {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Clone for Outlet {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), collected: Vec::new() }
    }
}

impl Outlet {
    /// Starts the thread that writes to the target.
    pub(crate) fn open(target: Target, on_stall: OnStall) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(on_stall));
        let theirs = Arc::clone(&queue);
        let name = target.name();
        spawn(name, move || theirs.write_all(target.chunk(), |bytes| target.write(bytes)))?;
        Ok(Self { queue: Arc::new(Shared(queue)), collected: Vec::new() })
    }

    /// Is there anything that the reader has not taken yet?
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.is_behind()
    }

    /// Waits until everything is written, but not longer than this.
    pub(crate) fn settle(&mut self, limit: Duration) -> io::Result<()> {
        self.pass_on()?;
        self.queue.settle(limit)
    }

    /// Returns a message if the reader has stalled or reads again since the last call.
    pub(crate) fn news(&self) -> Option<String> {
        self.queue.news()
    }

    /// Ends the output: waits for as long as the reader reads. Returns what was lost.
    pub(crate) fn finish(&mut self) -> io::Result<Lost> {
        self.pass_on()?;
        self.queue.finish()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.queue.push(&mut self.collected, || ENDING.load(Ordering::SeqCst))
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.collected.extend_from_slice(bytes);
        // Only whole lines are dropped, so only whole lines are queued.
        let whole = self.collected.ends_with(b"\n") || !self.queue.loses_lines();
        if whole && self.collected.len() >= COLLECTED {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.collected.is_empty() {
            return self.queue.check();
        }
        let was_behind = self.is_behind();
        self.pass_on()?;
        // Waiting for a stalled reader at each flush would stall the writer as well.
        let limit = if was_behind { Duration::ZERO } else { SETTLE };
        self.queue.settle(limit)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // An output that has failed has reported it; the rest is written if possible.
        let _ = self.pass_on();
    }
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::File(_) => "record",
        }
    }

    fn chunk(&self) -> usize {
        let of = |fd: BorrowedFd<'_>| match fstat(fd) {
            Ok(data) if FileType::from_raw_mode(data.st_mode).is_file() => FILE_CHUNK,
            _ => CHUNK,
        };
        self.with(of)
    }

    fn with<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Stdout => use_it(io::stdout().as_fd()),
            Self::Stderr => use_it(io::stderr().as_fd()),
            Self::File(file) => use_it(file.as_fd()),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.with(|fd| rustix::io::write(fd, bytes)) {
            Err(Errno::INTR) => Ok(0),
            // Another process that shares the descriptor has made it non-blocking.
            Err(Errno::AGAIN) => self.with(|fd| {
                let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
                match poll(&mut ready, None) {
                    Ok(_) | Err(Errno::INTR) => Ok(0),
                    Err(error) => Err(error),
                }
            }),
            // The descriptor was never open for writing: treat it as the standard library does.
            Err(Errno::BADF) if !matches!(self, Self::File(_)) => Ok(bytes.len()),
            written => {
                WRITES.fetch_add(1, Ordering::Relaxed);
                written
            }
        }
    }
}
