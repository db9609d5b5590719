//! Captures stderr while the full screen is active: log messages, and the output of `--cmd`. It is
//! split into lines, which are escaped and repeated when the screen is restored. A stderr that is
//! not a terminal also receives the output immediately and unchanged.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog_core::text::outside::harmless;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::dup2_stderr;

use crate::notice;
use crate::rights::threads::spawn;

/// See the module documentation.
pub(crate) struct Captured {
    /// The original stderr, which is restored at the end.
    real: OwnedFd,
    pipe: OwnedFd,
    shared: Arc<Shared>,
    /// Signals that the reader has reached a mark.
    reached: Mutex<Receiver<()>>,
}

struct Shared {
    /// Lines are kept for the screen; otherwise they go to the original stderr.
    showing: AtomicBool,
    kept: Mutex<Kept>,
}

/// The last lines.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The number of all lines, and how many of them the screen has taken.
    count: usize,
    taken: usize,
}

/// The maximum number of lines to keep, and the maximum length of a line.
const MOST: usize = 500;
const LONGEST: u64 = 4096;
/// A text that nobody else writes: when the reader reaches it, everything before has been read.
const MARK: &[u8] = b"\0end of the screen\n";
/// How long to wait for the reader to reach the mark.
const PATIENCE: Duration = Duration::from_millis(500);
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Captured {
    /// Prepares the capture; `wake` is called for each line.
    pub(crate) fn prepare(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (reader, pipe) = io::pipe()?;
        let real = io::stderr().as_fd().try_clone_to_owned()?;
        let shared = Arc::new(Shared { showing: AtomicBool::new(false), kept: Mutex::default() });
        let (mark, reached) = sync_channel(1);
        let to = Reader { from: BufReader::new(reader), to: real.try_clone()?.into(), mark };
        let theirs = Arc::clone(&shared);
        spawn("stderr", move || to.read(&theirs, wake))?;
        Ok(Self { real, pipe: pipe.into(), shared, reached: Mutex::new(reached) })
    }

    /// Starts capturing.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.shared.showing.store(true, Ordering::SeqCst);
        dup2_stderr(&self.pipe)?;
        Ok(())
    }

    /// Stops capturing.
    pub(crate) fn end(&self) {
        let _ = dup2_stderr(&self.real);
        // A child may still write to the pipe, so there is no end of file to wait for. If the pipe
        // is full, its reader is blocked by a stalled stderr: do not wait.
        let has_room = poll(&mut [PollFd::new(&self.pipe, PollFlags::OUT)], Some(&NOW)) == Ok(1);
        let marked = has_room && rustix::io::write(&self.pipe, MARK).is_ok();
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if marked {
            let _ = reached.recv_timeout(PATIENCE);
        }
        self.shared.showing.store(false, Ordering::SeqCst);
    }

    /// The lines since the last call.
    pub(crate) fn fresh(&self) -> Vec<String> {
        let mut kept = self.shared.kept();
        let fresh = kept.count - kept.taken;
        kept.taken = kept.count;
        let skipped = kept.lines.len().saturating_sub(fresh);
        kept.lines.iter().skip(skipped).cloned().collect()
    }

    /// Prints the kept lines on the terminal again.
    pub(crate) fn repeat(&self) {
        if !io::stderr().is_terminal() {
            return;
        }
        let kept = self.shared.kept();
        let lost = kept.count - kept.lines.len();
        if lost > 0 {
            notice::line(&format!("({lost} earlier lines are not repeated)"));
        }
        for line in &kept.lines {
            notice::line(&harmless(line));
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, line: &[u8]) {
        let mut kept = self.kept();
        if kept.lines.len() == MOST {
            kept.lines.pop_front();
        }
        kept.lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
        kept.count += 1;
    }
}

/// The reading end of the pipe.
struct Reader {
    from: BufReader<PipeReader>,
    to: File,
    mark: SyncSender<()>,
}

impl Reader {
    fn read(mut self, shared: &Shared, wake: impl Fn()) {
        let to_terminal = self.to.is_terminal();
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut self.from).take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.ends_with(MARK) {
                line.truncate(line.len() - MARK.len());
                shared.showing.store(false, Ordering::SeqCst);
                let _ = self.mark.try_send(());
                if line.is_empty() {
                    continue;
                }
            }
            let showing = shared.showing.load(Ordering::SeqCst);
            if showing {
                shared.keep(&line);
                wake();
            }
            // A command that outlives the screen still writes here.
            if !showing && to_terminal {
                let text = String::from_utf8_lossy(&line);
                let _ = self.to.write_all(harmless(&text).as_bytes());
            } else if !to_terminal {
                let _ = self.to.write_all(&line);
            }
        }
    }
}
