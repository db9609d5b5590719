//! The signals that end a run with its summary. They are watched before anything is attached, by a
//! thread of their own: whatever the others wait for, the first signal is heard and the second one
//! ends the process at once. A service reads its configuration again at a SIGHUP and goes on.

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

/// `timeout` signals a process and then its group, and a shell repeats the SIGHUP of a terminal: a
/// signal this soon after the first one is the same wish.
const ECHO: Duration = Duration::from_millis(250);

/// SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    first: Arc<Notify>,
    has_come: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to watch; `heard` is called when the first one arrives. With `reload` SIGHUP does not
    /// end the run.
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

    /// Has the first of them arrived?
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::SeqCst)
    }

    /// Waits for the first of them.
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
        // Ends the process; it fails only for signals that are not watched for.
        let _ = emulate_default_handler(signal);
    }
}
