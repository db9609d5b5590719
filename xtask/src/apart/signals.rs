//! Delays signals that would kill us until what we started has been killed, too. This works for the
//! whole process, whichever thread a signal arrives at.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result};
use signal_hook::{consts, flag, low_level};

/// The signals with which terminals, shells and service managers end programs.
const DEADLY: [libc::c_int; 3] = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];

/// The data shared with the handlers, which are never removed: that would leave the signals
/// ignored.
struct Handlers {
    /// Should a signal kill us at once?
    deadly: Arc<AtomicBool>,
    /// The last signal that arrived, or 0.
    came: Arc<AtomicUsize>,
}

/// While this exists, the signals are recorded instead. There can be only one at a time.
pub(super) struct Held(&'static Handlers);

impl Held {
    /// Starts to delay the signals.
    pub(super) fn hold() -> Result<Self> {
        static HANDLERS: LazyLock<Result<Handlers, String>> =
            LazyLock::new(|| Handlers::install().map_err(|error| format!("{error:#}")));
        let handlers = HANDLERS.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        handlers.deadly.store(false, Ordering::SeqCst);
        Ok(Self(handlers))
    }

    /// The signal that has arrived, if any.
    pub(super) fn came(&self) -> Option<libc::c_int> {
        let signal = self.0.came.swap(0, Ordering::SeqCst);
        DEADLY.into_iter().find(|one| usize::try_from(*one) == Ok(signal))
    }

    /// Dies of the signal that has arrived, as if it had not been delayed.
    pub(super) fn die_of(self, signal: libc::c_int) -> ! {
        drop(self);
        // This does not return. If it fails, exit with the equivalent status.
        let _ = low_level::emulate_default_handler(signal);
        std::process::exit(128 + signal)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.deadly.store(true, Ordering::SeqCst);
    }
}

impl Handlers {
    fn install() -> Result<Self> {
        let (deadly, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self")?;
        let ignored = ignored(&status);
        for signal in DEADLY.into_iter().filter(|signal| !contains(ignored, *signal)) {
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_conditional_default(signal, Arc::clone(&deadly))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&came), number))
                .with_context(|| format!("cannot handle signal {signal}"))?;
        }
        Ok(Self { deadly, came })
    }
}

/// The ignored signals as a bit mask: `nohup`, for example, makes a program ignore SIGHUP.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Signals are numbered from 1, bits from 0.
fn contains(mask: u64, signal: libc::c_int) -> bool {
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_stays_ignored() {
        let mask = ignored("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\tffff\n");
        assert!(contains(mask, consts::SIGHUP));
        assert!(!contains(mask, consts::SIGTERM));
    }
}
