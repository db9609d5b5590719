//! Signals that would end us, held back until what we started is ended, too. For the whole process,
//! whichever of its threads they come to.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result};
use signal_hook::{consts, flag, low_level};

/// What a terminal, a shell or a service manager ends a program with.
const DEADLY: [libc::c_int; 3] = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];

/// What the handlers share with us. They are never removed: that would leave a signal ignored.
struct Handlers {
    /// Does a signal end us at once?
    deadly: Arc<AtomicBool>,
    /// The last one that came, or 0.
    came: Arc<AtomicUsize>,
}

/// While it lives, these signals wait to be asked for. There is one at a time.
pub(super) struct Held(&'static Handlers);

impl Held {
    /// Holds them back from now on.
    pub(super) fn hold() -> Result<Self> {
        static HANDLERS: LazyLock<Result<Handlers, String>> =
            LazyLock::new(|| Handlers::install().map_err(|error| format!("{error:#}")));
        let handlers = HANDLERS.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        handlers.deadly.store(false, Ordering::SeqCst);
        Ok(Self(handlers))
    }

    /// The signal that came, if any.
    pub(super) fn came(&self) -> Option<libc::c_int> {
        let signal = self.0.came.swap(0, Ordering::SeqCst);
        DEADLY.into_iter().find(|one| usize::try_from(*one) == Ok(signal))
    }

    /// Ends us by the signal that came, as if it had not been held back.
    pub(super) fn die_of(self, signal: libc::c_int) -> ! {
        drop(self);
        // It does not return; if it fails, the status says the same.
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

/// The signals that we ignore, as `nohup` makes a program ignore SIGHUP: a bit for each.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Signals are counted from 1, bits from 0.
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
