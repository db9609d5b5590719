//! The queue between a writer and the thread that does the writes. All rules of waiting and losing
//! are here; it knows no file.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{OnStall, STALL};

/// Bytes that may wait for a reader before the writer waits as well.
const ROOM: usize = 4 << 20;

/// A wait is checked this often. It is counted in such steps, so the time in which the process
/// itself was stopped is not taken for a stall.
const STEP: Duration = Duration::from_millis(20);

/// At the end each reader gets at least this long.
const LEAST: Duration = Duration::from_millis(200);

/// See the module's head.
pub(super) struct Queue {
    on_stall: OnStall,
    state: Mutex<State>,
    /// There is something to write, or nothing more comes.
    work: Condvar,
    /// Something was written, or the writing failed.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Writes so far, and when the reader last took something or had nothing to take.
    writes: u64,
    moved: Option<Instant>,
    stalled: bool,
    /// The stall has been reported.
    reported: bool,
    /// Lines lost until the last report that it is over.
    lines_reported: usize,
    failure: Option<Failure>,
    lost: Lost,
    closed: bool,
}

/// What was not written.
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

    /// May a part be missing?
    pub(super) fn loses_lines(&self) -> bool {
        self.on_stall == OnStall::Lose
    }

    /// Adds bytes, which are empty then. Waits for room if there is none, unless the reader has
    /// stalled or the run is `ending`: what comes then is bounded by the last records and counts.
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

    /// Has the writing failed?
    pub(super) fn check(&self) -> io::Result<()> {
        self.lock().check()
    }

    /// Is there anything that is not written?
    pub(super) fn is_behind(&self) -> bool {
        !self.lock().bytes.is_empty()
    }

    /// Waits until all is written, but not longer than this.
    pub(super) fn settle(&self, limit: Duration) -> io::Result<()> {
        let behind = |state: &mut State| !state.bytes.is_empty() && state.failure.is_none();
        let waited = self.progress.wait_timeout_while(self.lock(), limit, behind);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.check()
    }

    /// Nothing more comes; what is there is written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Nothing more comes. Waits until all is written, for as long as the reader reads.
    pub(super) fn finish(&self) -> io::Result<Lost> {
        self.close();
        let mut state = self.lock();
        let mut waited = Duration::ZERO;
        while !state.bytes.is_empty() {
            state.check()?;
            let still = state.moved.is_some_and(|moved| moved.elapsed() >= STALL);
            if still && waited >= LEAST {
                // The thread may still be in the write of a part of it.
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

    /// What is new about the reader, once.
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

    /// Writes until nothing more comes or the writing fails: what the thread does.
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

    /// The next part to write; false: there is none, and none will come.
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
