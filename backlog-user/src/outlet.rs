//! Output that never blocks its writer for long: a queue, and a thread that does the writes, which
//! may block (a pager that waits, a stopped terminal, a slow disk). A reader that is slow but
//! reads loses nothing: a full queue makes the writer wait. A reader that takes nothing for
//! [`STALL`] has stalled: from then on whole lines are lost and counted, or the output fails.

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

/// How long a flush waits for its bytes to be written. Usually that takes microseconds; it keeps
/// stdout and stderr in order where both go to the same terminal.
const SETTLE: Duration = Duration::from_millis(20);

/// Bytes that an outlet collects before it passes them on without a flush.
const COLLECTED: usize = 64 << 10;

/// A pipe and a terminal take this much as soon as they have room, so the thread sees each step
/// of a slow reader. A file gets more at once.
const CHUNK: usize = 4 << 10;
const FILE_CHUNK: usize = 64 << 10;

/// The run is ending while programs are attached: no write may wait then.
static ENDING: AtomicBool = AtomicBool::new(false);

/// From now on no write waits for a reader, or each may wait again.
pub(crate) fn hurry(hurry: bool) {
    ENDING.store(hurry, Ordering::SeqCst);
}

/// Writes of all outlets so far.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// How many writes have succeeded so far: it grows for as long as a reader reads.
pub(crate) fn writes() -> u64 {
    WRITES.load(Ordering::Relaxed)
}

/// Where the bytes go.
pub(crate) enum Target {
    Stdout,
    Stderr,
    File(File),
}

/// What a stalled reader means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnStall {
    /// Whole lines are lost and counted until it reads again.
    Lose,
    /// The output has failed, since it is of no use with a part missing.
    Fail,
}

/// See the module's head. A clone writes to the same queue.
pub(crate) struct Outlet {
    queue: Arc<Shared>,
    /// Not in the queue yet.
    collected: Vec<u8>,
}

/// The writers' end of a queue: its thread ends after the last of them.
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
    /// Starts the thread that writes there.
    pub(crate) fn open(target: Target, on_stall: OnStall) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(on_stall));
        let theirs = Arc::clone(&queue);
        let name = target.name();
        spawn(name, move || theirs.write_all(target.chunk(), |bytes| target.write(bytes)))?;
        Ok(Self { queue: Arc::new(Shared(queue)), collected: Vec::new() })
    }

    /// Has the reader not taken all of it yet?
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.is_behind()
    }

    /// Waits until all is written, but not longer than this.
    pub(crate) fn settle(&mut self, limit: Duration) -> io::Result<()> {
        self.pass_on()?;
        self.queue.settle(limit)
    }

    /// What is new about the reader: it has stalled, or reads again.
    pub(crate) fn news(&self) -> Option<String> {
        self.queue.news()
    }

    /// Nothing more comes: waits for as long as the reader reads. Returns what was lost.
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
        // Lines are lost as a whole, so they are passed on as a whole.
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
        // Who waits for a stalled reader each time is stalled as well.
        let limit = if was_behind { Duration::ZERO } else { SETTLE };
        self.queue.settle(limit)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // An output that ends by an error has reported it; the rest is written if it can be.
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
            // Another process that has it open does not want to block.
            Err(Errno::AGAIN) => self.with(|fd| {
                let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
                match poll(&mut ready, None) {
                    Ok(_) | Err(Errno::INTR) => Ok(0),
                    Err(error) => Err(error),
                }
            }),
            // A descriptor that was never open for writing: as in the standard library.
            Err(Errno::BADF) if !matches!(self, Self::File(_)) => Ok(bytes.len()),
            written => {
                WRITES.fetch_add(1, Ordering::Relaxed);
                written
            }
        }
    }
}
