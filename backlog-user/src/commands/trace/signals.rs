//! The signals that end a run with a summary. A thread of their own watches them from before
//! anything is attached: whatever other threads wait for, the first signal is noticed, and the
//! second one ends the process at once. SIGHUP makes a service reload its configuration instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::emulate_default_handler;
use tokio::sync::Notify;

use crate::output::tui::screen;
use crate::rights::threads::spawn;

/// A signal this soon after the first one counts as the same request: `timeout` signals a process
/// and then its group, and a shell repeats the terminal's SIGHUP.
const ECHO: Duration = Duration::from_millis(250);

/// Watches SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    first: Arc<Notify>,
    has_come: Arc<AtomicBool>,
}

impl Signals {
    /// Starts watching; `heard` is called when the first signal arrives. With `reload`, SIGHUP does
    /// not end the run.
    pub(crate) fn watch(
        heard: impl FnOnce() + Send + 'static,
        reload: Option<Arc<Notify>>,
    ) -> Result<Self> {
        let arriving = Arriving::new([SIGINT, SIGTERM, SIGHUP]).context("watching for signals")?;
        let first = Arc::new(Notify::new());
        let has_come = Arc::new(AtomicBool::new(false));
        let (notify, come) = (Arc::clone(&first), Arc::clone(&has_come));
        let heard = move || {
            come.store(true, Ordering::SeqCst);
            notify.notify_one();
            heard();
        };
        spawn("signals", move || hear(arriving, reload.as_deref(), heard))
            .context("starting the thread that watches for signals")?;
        Ok(Self { first, has_come })
    }

    /// Has the first signal arrived?
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::SeqCst)
    }

    /// Waits for the first signal.
    pub(crate) async fn any(&mut self) {
        self.first.notified().await;
    }
}

fn hear(mut arriving: Arriving, reload: Option<&Notify>, heard: impl FnOnce()) {
    let ends = |signal: &i32| match reload {
        Some(reload) if *signal == SIGHUP => {
            reload.notify_one();
            false
        }
        _ => true,
    };
    let mut signals = arriving.forever().filter(ends);
    if signals.next().is_some() {
        heard();
    }
    let first = Instant::now();
    for signal in signals {
        if first.elapsed() < ECHO {
            continue;
        }
        screen::give_back_now();
        // This ends the process; it fails only for signals that are not watched here.
        let _ = emulate_default_handler(signal);
    }
}
