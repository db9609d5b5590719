//! The queue between a writer and the thread that does the writes. It contains all rules on waiting
//! and dropping, and does no I/O.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{OnStall, STALL};

/// The number of bytes that may wait for a reader before the writer waits as well.
const ROOM: usize = 4 << 20;

/// How often a wait is checked. Waits are counted in these steps, so that time during which the
/// process itself was stopped is not taken for a stall.
const STEP: Duration = Duration::from_millis(20);

/// The minimum time that each reader gets at the end.
const LEAST: Duration = Duration::from_millis(200);

/// See the module documentation.
pub(super) struct Queue {
    on_stall: OnStall,
    state: Mutex<State>,
    /// There is something to write, or the queue is closed.
    work: Condvar,
    /// Something was written, or writing has failed.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The number of writes, and when the reader last took something or had nothing to take.
    writes: u64,
    moved: Option<Instant>,
    stalled: bool,
    /// The stall has been reported.
    reported: bool,
    /// The number of lost lines when the end of a stall was last reported.
    lines_reported: usize,
    failure: Option<Failure>,
    lost: Lost,
    closed: bool,
}

/// The data that was not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) lines: usize,
    pub(crate) bytes: usize,
}

/// Why nothing more is written.
#[derive(Clone, Copy)]
enum Failure {
    Stalled,
    Refused(Errno),
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Self::Stalled => io::Error::new(
                ErrorKind::TimedOut,
                format!(
                    "its reader, or the disk, has taken nothing for {} s: read it faster, or name \
                     a file on another disk",
                    STALL.as_secs()
                ),
            ),
            Self::Refused(errno) => errno.into(),
        }
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn has_room(&self, more: usize) -> bool {
        self.bytes.is_empty() || self.bytes.len() + more <= ROOM
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.bytes.is_empty() {
            self.moved = Some(Instant::now());
        }
        self.bytes.extend(bytes);
    }

    fn lose(&mut self, on_stall: OnStall, lines: usize, bytes: usize) -> io::Result<()> {
        self.lost.lines += lines;
        self.lost.bytes += bytes;
        if on_stall == OnStall::Fail {
            self.failure = Some(Failure::Stalled);
        }
        self.check()
    }
}

impl Queue {
    pub(super) fn new(on_stall: OnStall) -> Self {
        Self { on_stall, state: Mutex::default(), work: Condvar::new(), progress: Condvar::new() }
    }

    /// May lines be dropped?
    pub(super) fn loses_lines(&self) -> bool {
        self.on_stall == OnStall::Lose
    }

    /// Queues the bytes and clears them. Waits if the queue is full, unless the reader has stalled
    /// or the run is `ending`: what is still queued then is bounded by the last records and counts.
    pub(super) fn push(&self, bytes: &mut Vec<u8>, ending: impl Fn() -> bool) -> io::Result<()> {
        if bytes.is_empty() {
            return self.check();
        }
        let mut state = self.lock();
        let mut waited = Duration::ZERO;
        let result = loop {
            if let Err(error) = state.check() {
                break Err(error);
            }
            if state.has_room(bytes.len()) || (ending() && !state.stalled) {
                state.add(bytes);
                break Ok(());
            }
            if state.stalled {
                break state.lose(self.on_stall, lines(bytes), bytes.len());
            }
            let writes = state.writes;
            state = self.wait(state, STEP);
            waited = if state.writes == writes { waited + STEP } else { Duration::ZERO };
            state.stalled = waited >= STALL;
        };
        self.work.notify_one();
        bytes.clear();
        result
    }

    /// Has writing failed?
    pub(super) fn check(&self) -> io::Result<()> {
        self.lock().check()
    }

    /// Is there anything that is not written?
    pub(super) fn is_behind(&self) -> bool {
        !self.lock().bytes.is_empty()
    }

    /// Waits until everything is written, but not longer than this.
    pub(super) fn settle(&self, limit: Duration) -> io::Result<()> {
        let behind = |state: &mut State| !state.bytes.is_empty() && state.failure.is_none();
        let waited = self.progress.wait_timeout_while(self.lock(), limit, behind);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.check()
    }

    /// Closes the queue; what it holds is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Closes the queue and waits until everything is written, for as long as the reader reads.
    pub(super) fn finish(&self) -> io::Result<Lost> {
        self.close();
        let mut state = self.lock();
        let mut waited = Duration::ZERO;
        while !state.bytes.is_empty() {
            state.check()?;
            let still = state.moved.is_some_and(|moved| moved.elapsed() >= STALL);
            if still && waited >= LEAST {
                // The thread may still be writing a part of it.
                let (first, second) = state.bytes.as_slices();
                let (lines, bytes) = (lines(first) + lines(second), state.bytes.len());
                state.stalled = true;
                state.lose(self.on_stall, lines, bytes)?;
                break;
            }
            state = self.wait(state, STEP);
            waited += STEP;
        }
        state.check()?;
        Ok(state.lost)
    }

    /// Returns a change of the reader's state once, as a message.
    pub(super) fn news(&self) -> Option<String> {
        let mut state = self.lock();
        match (state.stalled, state.reported) {
            (true, false) => {
                state.reported = true;
                let seconds = STALL.as_secs();
                Some(format!(
                    "its reader has taken nothing for {seconds} s: lines are lost until it reads"
                ))
            }
            (false, true) => {
                state.reported = false;
                let lines = state.lost.lines - state.lines_reported;
                state.lines_reported = state.lost.lines;
                Some(format!("its reader reads again; lines lost meanwhile: {lines}"))
            }
            _ => None,
        }
    }

    /// The thread's loop: writes until the queue is closed and empty, or writing fails.
    pub(super) fn write_all(&self, chunk: usize, write: impl Fn(&[u8]) -> Result<usize, Errno>) {
        let mut part = Vec::with_capacity(chunk);
        while self.next(chunk, &mut part) {
            let written = write(&part);
            let mut state = self.lock();
            match written {
                Ok(count) => {
                    state.bytes.drain(..count.min(part.len()));
                    state.writes += u64::from(count > 0);
                    if count > 0 {
                        state.moved = Some(Instant::now());
                        state.stalled = false;
                    }
                    if state.bytes.is_empty() {
                        state.bytes.shrink_to(ROOM / 16);
                    }
                }
                Err(errno) => {
                    state.failure.get_or_insert(Failure::Refused(errno));
                    state.bytes = VecDeque::new();
                }
            }
            let failed = matches!(state.failure, Some(Failure::Refused(_)));
            drop(state);
            self.progress.notify_all();
            if failed {
                return;
            }
        }
    }

    /// Takes the next part to write. Returns false if the queue is closed and empty.
    fn next(&self, chunk: usize, part: &mut Vec<u8>) -> bool {
        part.clear();
        let idle = |state: &mut State| state.bytes.is_empty() && !state.closed;
        let state = self.work.wait_while(self.lock(), idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        part.extend(state.bytes.iter().take(chunk));
        !part.is_empty()
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        let waited = self.progress.wait_timeout(state, limit);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}
