//! Controls when the server's threads may accept: immediately, or after a stall that begins when a
//! connection is queued. Also tells them when the run is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::listener::Listeners;

/// How often the thread that keeps the stall checks whether the run is over.
const LOOK: Duration = Duration::from_millis(20);

/// The gate, which the threads of a server share.
#[derive(Debug)]
pub(super) struct Gate {
    /// The number of accepts before the stall; None: it never stalls.
    first: Option<u64>,
    /// Accepts that were permitted so far.
    tickets: AtomicU64,
    /// Accepts done so far.
    accepted: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    open: bool,
    over: bool,
}

impl Gate {
    /// Open from the start, or closed after `first` accepts until `open`.
    pub(super) fn new(first: Option<u64>) -> Self {
        Self {
            first,
            tickets: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for the permission to accept once. Returns false if the run is over. A permission that
    /// was not used must be kept for the next round, or a stall would begin too early.
    pub(super) fn pass(&self) -> bool {
        let Some(first) = self.first else {
            return !self.lock().over;
        };
        if self.tickets.fetch_add(1, Ordering::Relaxed) < first {
            return !self.lock().over;
        }
        let state = self
            .changed
            .wait_while(self.lock(), |state| !state.open && !state.over)
            .unwrap_or_else(PoisonError::into_inner);
        !state.over
    }

    /// Sleeps, but not beyond the end of the run.
    pub(super) fn pause(&self, time: Duration) {
        if !time.is_zero() {
            drop(
                self.changed
                    .wait_timeout_while(self.lock(), time, |state| !state.over)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Keeps the stall: waits until a connection is queued that nobody may accept, sleeps for
    /// `stall`, and opens the gate.
    pub(super) fn keep_stall(&self, listeners: &Listeners, stall: Duration) -> Result<()> {
        let first = self.first.unwrap_or(0);
        while !self.over() {
            // The listener may be readable because others still use their permissions.
            if self.accepted() < first {
                self.pause(Duration::from_millis(1));
            } else if listeners.readable(LOOK)? {
                self.pause(stall);
                break;
            }
        }
        self.change(|state| state.open = true);
        Ok(())
    }

    /// Tells every thread that the run is over.
    pub(super) fn end(&self) {
        self.change(|state| state.over = true);
    }

    /// Is the run over?
    pub(super) fn over(&self) -> bool {
        self.lock().over
    }

    /// Counts an accept; returns their number so far.
    pub(super) fn count(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Release) + 1
    }

    /// Accepts done so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    fn change(&self, to: impl FnOnce(&mut State)) {
        to(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave two flags half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
