//! Disturbances of the tool: signals to it, to its reader and to servers; other tools; and dozens
//! of listeners.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;

use super::churn::{Churn, LAST, LAST_FLICKER, Shared};
use super::traced::Traced;
use crate::{netns, proc, tracer};

/// The number of disturbances of each kind.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// The pause between two disturbances.
const PAUSE: Duration = Duration::from_secs(2);
/// A reader that takes nothing for 3 s has stalled and loses lines; this one is only slow.
const STOPPED: Duration = Duration::from_millis(1500);
/// The number of listeners that are opened and closed at a time.
const FLICKER: u16 = 50;

/// The thread that disturbs.
pub(super) struct Troubles(JoinHandle<Result<Counts>>);

impl Troubles {
    pub(super) fn start(
        traced: &Traced,
        churn: &Churn,
        seed: u64,
        over: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let who =
            Who { tool: traced.pid(), reader: traced.reader(), loads: Arc::clone(&churn.shared) };
        let over = Arc::clone(over);
        let thread = thread::Builder::new().spawn(move || {
            let mut rng = Rng::with_seed(seed);
            let mut counts = Counts::new();
            while !over.load(Ordering::SeqCst) {
                if let Some(kind) = who.disturb(&mut rng)? {
                    *counts.entry(kind).or_default() += 1;
                }
                thread::sleep(PAUSE);
            }
            Ok(counts)
        });
        Ok(Self(thread.context("starting a thread")?))
    }

    /// Has something failed?
    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    pub(super) fn finish(self) -> Result<Counts> {
        self.0.join().map_err(|_| anyhow!("the thread that disturbs panicked"))?
    }
}

struct Who {
    tool: u32,
    reader: u32,
    loads: Arc<Shared>,
}

impl Who {
    /// Makes one random disturbance.
    fn disturb(&self, rng: &mut Rng) -> Result<Option<&'static str>> {
        Ok(Some(match rng.u32(..7) {
            0 => {
                let Some(load) = self.loads.any(rng.usize(..)) else { return Ok(None) };
                // With its workers, if these are processes. They may end before.
                let family = proc::family(load);
                for one in &family {
                    drop(signal(*one, libc::SIGSTOP));
                }
                thread::sleep(STOPPED);
                for one in &family {
                    drop(signal(*one, libc::SIGCONT));
                }
                "a server was stopped"
            }
            1 => {
                stop(self.reader)?;
                "the reader was stopped"
            }
            2 => {
                stop(self.tool)?;
                "the tool was stopped"
            }
            3 => {
                signal(self.tool, libc::SIGWINCH)?;
                signal(self.tool, libc::SIGCONT)?;
                "harmless signals"
            }
            4 => {
                netns::fresh(flicker)??;
                "listeners opened and closed at once"
            }
            5 => {
                other(Command::new(tracer::path()).args(["listeners", "-o", "json"]))?;
                "another tool listed all listeners"
            }
            _ => {
                // A second tracer attaches and detaches.
                other(tracer::command().args(["--port", &LAST.to_string(), "-d", "1s"]))?;
                "another tool traced for a second"
            }
        }))
    }
}

fn stop(process: u32) -> Result<()> {
    signal(process, libc::SIGSTOP)?;
    thread::sleep(STOPPED);
    signal(process, libc::SIGCONT)
}

fn signal(process: u32, signal: i32) -> Result<()> {
    // SAFETY: it takes two numbers. Tool and reader are children that were not waited for; a load
    // may have ended, but its number is not given away again as soon as this.
    let sent = unsafe { libc::kill(i32::try_from(process)?, signal) };
    ensure!(sent == 0, "cannot signal {process}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Opens listeners on the last ports, without clients. Each has its own port, since a process that
/// another thread forks in the meantime keeps a closed one open until exec.
fn flicker() -> Result<()> {
    for batch in 0..LAST_FLICKER / FLICKER {
        let ports = (0..FLICKER).map(|port| LAST - batch * FLICKER - port);
        let open: std::io::Result<Vec<TcpListener>> =
            ports.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).collect();
        drop(open.context("opening listeners")?);
    }
    Ok(())
}

/// Runs another tool until it ends.
fn other(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("starting another tool")?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(())
}
