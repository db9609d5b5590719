//! Signals that would end us, held back until what we started is ended, too.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What a terminal, a shell or a service manager ends a program with.
const DEADLY: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// While it lives, these signals wait. For the thread that holds them back, so
/// it is to be the only one, or they end another.
pub(super) struct Held {
    signals: libc::sigset_t,
    before: libc::sigset_t,
}

impl Held {
    /// Holds them back from now on.
    pub(super) fn hold() -> Result<Self> {
        let mut signals = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigemptyset makes the set a value, which the others change;
        // pthread_sigmask fills the second one if it succeeds.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            for signal in DEADLY {
                libc::sigaddset(signals.as_mut_ptr(), signal);
            }
            let error =
                libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error)).context("cannot hold signals");
            }
            Ok(Self { signals: signals.assume_init(), before: before.assume_init() })
        }
    }

    /// What was held back before, which is what a program started now is due.
    pub(super) fn before(&self) -> libc::sigset_t {
        self.before
    }

    /// Waits for one of them, up to this time.
    pub(super) fn wait(&self, time: Duration) -> Option<libc::c_int> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: both are values that live as long as the call.
        let signal = unsafe {
            libc::sigtimedwait(&raw const self.signals, std::ptr::null_mut(), &raw const time)
        };
        (signal > 0).then_some(signal)
    }

    /// Ends us by the signal that came, as if it had not been held back.
    pub(super) fn die_of(self, signal: libc::c_int) -> ! {
        drop(self);
        // SAFETY: raise takes a number.
        unsafe { libc::raise(signal) };
        // Not reached: nobody here handles it, and one that is ignored does not come.
        std::process::exit(128 + signal)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It was a valid mask before.
        let _ = set_mask(&self.before);
    }
}

/// Sets this thread's mask. May be called between fork and exec.
pub(super) fn set_mask(mask: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the mask is a value that lives as long as the call; the place
    // for the old one may be null.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
