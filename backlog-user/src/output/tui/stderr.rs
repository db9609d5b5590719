//! Captures stderr while the full screen is active: log messages, and the output of `--cmd`. It is
//! split into lines, made harmless, and repeated when the screen is restored. A stderr that is not a
//! terminal also receives it immediately, as it is.

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

/// See the module's head.
pub(crate) struct Captured {
    /// Where stderr went, and goes when this is over.
    real: OwnedFd,
    pipe: OwnedFd,
    shared: Arc<Shared>,
    /// The reader has come to a mark.
    reached: Mutex<Receiver<()>>,
}

struct Shared {
    /// Lines are shown on the screen; else they go where stderr went.
    showing: AtomicBool,
    kept: Mutex<Kept>,
}

/// The last lines.
#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// How many there were, and how many were taken to be shown.
    count: usize,
    taken: usize,
}

/// Lines that are kept, and bytes after which a line is one without an end.
const MOST: usize = 500;
const LONGEST: u64 = 4096;
/// Written by nobody else: what was written before it has been read.
const MARK: &[u8] = b"\0end of the screen\n";
/// How long to wait for that.
const PATIENCE: Duration = Duration::from_millis(500);
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Captured {
    /// Prepares it; `wake` is called for each line.
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

    /// From now on lines are for the screen.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.shared.showing.store(true, Ordering::SeqCst);
        dup2_stderr(&self.pipe)?;
        Ok(())
    }

    /// From now on they go where they went before.
    pub(crate) fn end(&self) {
        let _ = dup2_stderr(&self.real);
        // A child may still write: the pipe has no end that could be waited for.
        // It is full if its reader cannot write to a stalled stderr: then nothing is waited for.
        let has_room = poll(&mut [PollFd::new(&self.pipe, PollFlags::OUT)], Some(&NOW)) == Ok(1);
        let marked = has_room && rustix::io::write(&self.pipe, MARK).is_ok();
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if marked {
            let _ = reached.recv_timeout(PATIENCE);
        }
        self.shared.showing.store(false, Ordering::SeqCst);
    }

    /// Lines since the last time.
    pub(crate) fn fresh(&self) -> Vec<String> {
        let mut kept = self.shared.kept();
        let fresh = kept.count - kept.taken;
        kept.taken = kept.count;
        let skipped = kept.lines.len().saturating_sub(fresh);
        kept.lines.iter().skip(skipped).cloned().collect()
    }

    /// Repeats the log messages of the screen on the terminal.
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

/// The other end of the pipe.
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
