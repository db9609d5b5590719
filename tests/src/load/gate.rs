//! When the server's threads may accept: at once, or stalled until a while
//! after a connection came. Also how they learn that it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::listener::Listeners;

/// How often the stall's keeper looks whether all is over.
const LOOK: Duration = Duration::from_millis(20);

/// Shared by the threads of one server.
#[derive(Debug)]
pub(super) struct Gate {
    /// How many may accept before the stall; none: there is no stall.
    first: Option<u64>,
    /// Accepts promised so far.
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
    /// Open from the start, or after `first` accepts closed until `open`.
    pub(super) fn new(first: Option<u64>) -> Self {
        Self {
            first,
            tickets: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for the permission for one accept. False: it is all over.
    /// A permission not used must be kept for the next round, or a stall
    /// would begin too early.
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

    /// Sleeps, but not beyond the end.
    pub(super) fn pause(&self, time: Duration) {
        if !time.is_zero() {
            drop(
                self.changed
                    .wait_timeout_while(self.lock(), time, |state| !state.over)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Keeps the stall: waits until a connection is queued that nobody may
    /// accept, then `stall`, then opens the gate.
    pub(super) fn keep_stall(&self, listeners: &Listeners, stall: Duration) -> Result<()> {
        let first = self.first.unwrap_or(0);
        while !self.over() {
            // Readable while others still work off theirs says nothing.
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

    /// Tells every thread that it is over.
    pub(super) fn end(&self) {
        self.change(|state| state.over = true);
    }

    /// Whether it is over.
    pub(super) fn over(&self) -> bool {
        self.lock().over
    }

    /// Counts one accept; how many that makes.
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
        // Two flags cannot be left half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
