//! Loads that come and go. Each is a process with a listener in a network namespace of its own, and
//! counts itself what happened.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Options, program};
use crate::clock::wait_until;
use crate::load::Truth;
use crate::netns;

/// The ports of all loads: no other test uses them, and the tool traces no others.
pub(super) const FIRST: u16 = 20_000;
pub(super) const LAST: u16 = 29_999;
/// The last ones are opened without a load, and some before them at the beginning.
pub(super) const LAST_FLICKER: u16 = 200;

/// The kinds of loads. Each ends by itself.
const KINDS: [&str; 7] = [
    // Everything is accepted.
    "--backlog 64 --rate 150 --duration 2s --clients 16",
    // More connections arrive than are accepted.
    "--backlog 8 --rate 200 --duration 2s --accept-delay 8ms --clients 32 --connect-timeout 1s",
    // Nothing is accepted.
    "--backlog 4 --count 12 --no-accept --connect nonblocking --connect-timeout 500ms",
    // The server pauses.
    "--backlog 8 --rate 100 --duration 2s --stall 600ms --stall-after 20 --clients 32 \
     --connect-timeout 1s",
    // The workers are processes.
    "--backlog 16 --rate 100 --duration 2s --prefork --threads 3 --clients 16",
    // A group, over IPv6.
    "--backlog 8 --rate 150 --duration 2s --reuseport --threads 3 --family v6 --clients 16",
    // It ends immediately.
    "--backlog 4 --count 3",
];

/// The time limit of a load on any machine, even if it is stopped for a while.
const LIMIT: Duration = Duration::from_mins(2);

/// A load's own counts, with the kernel's counters of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) enqueued: u64,
    pub(super) accepted: u64,
    /// `ListenDrops`
    pub(super) drops: u64,
}

impl Counted {
    pub(super) fn add(&mut self, enqueued: u64, accepted: u64, drops: u64) {
        self.enqueued += enqueued;
        self.accepted += accepted;
        self.drops += drops;
    }

    fn of(truth: &Truth) -> Self {
        Self {
            enqueued: truth.accepted + truth.left_in_queue,
            accepted: truth.accepted,
            drops: truth.kernel.get("ListenDrops").copied().unwrap_or(0),
        }
    }
}

/// The loads so far, by port.
pub(super) type Loads = BTreeMap<u16, Counted>;

/// The data that the threads share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    loads: Mutex<Loads>,
    /// The loads that are currently running.
    running: Mutex<Vec<u32>>,
    number: AtomicU32,
}

impl Shared {
    /// One of the running loads, chosen by this number. It may end at any time.
    pub(super) fn any(&self, number: usize) -> Option<u32> {
        let running = lock(&self.running);
        running.get(number.checked_rem(running.len())?).copied()
    }
}

/// More than the closed listeners that the tool keeps (1,024), so that its memory for these has
/// reached its bound from the beginning.
const KEPT: u16 = 1_100;

/// Makes one served connection at each of many listeners, which then close.
pub(super) fn fill() -> Result<()> {
    netns::fresh(|| {
        for port in LAST - LAST_FLICKER - KEPT..LAST - LAST_FLICKER {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            listener.accept()?;
            thread::sleep(FILL_PAUSE);
        }
        std::io::Result::Ok(())
    })?
    .context("opening listeners")
}

/// The tool has 1,024 slots, and frees those of closed listeners at the end of an interval.
const FILL_PAUSE: Duration = Duration::from_millis(5);

/// The threads that start loads.
pub(super) struct Churn {
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Churn {
    pub(super) fn start(options: &Options, over: &Arc<AtomicBool>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let threads = (0..options.loads).map(|_| {
            let (shared, over) = (Arc::clone(&shared), Arc::clone(over));
            thread::Builder::new().spawn(move || shared.repeat(&over))
        });
        let threads = threads.collect::<std::io::Result<_>>().context("starting a thread")?;
        Ok(Self { shared, threads })
    }

    /// Has a load failed, or are all ports used?
    pub(super) fn is_over(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits until the running loads have ended.
    pub(super) fn finish(self) -> Result<Loads> {
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a thread with a load panicked"))??;
        }
        Ok(lock(&self.shared.loads).clone())
    }
}

impl Shared {
    /// Runs loads one after the other.
    fn repeat(&self, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::SeqCst) {
            let number = self.number.fetch_add(1, Ordering::SeqCst);
            let port = u16::try_from(number).ok().and_then(|number| FIRST.checked_add(number));
            let Some(port) = port.filter(|port| *port < LAST - LAST_FLICKER - KEPT) else {
                return Ok(());
            };
            let kind = KINDS[number as usize % KINDS.len()];
            let counted = netns::fresh(|| self.load(port, kind))?
                .with_context(|| format!("the load {kind} on port {port}"))?;
            lock(&self.loads).insert(port, counted);
        }
        Ok(())
    }

    /// Runs a load in this thread's namespace.
    fn load(&self, port: u16, kind: &str) -> Result<Counted> {
        let out = std::env::temp_dir().join(format!("soak-{}-{port}", std::process::id()));
        let mut child = Command::new(program("backlog-load")?)
            .args(["-q", "--port", &port.to_string(), "--out"])
            .arg(&out)
            .args(kind.split_whitespace())
            // Who is stopped between the count and the close would miss what arrives meanwhile.
            .arg("--cut-before-count")
            .stdin(Stdio::null())
            .spawn()
            .context("starting it")?;
        let id = child.id();
        lock(&self.running).push(id);
        let ended = wait_until("its end", LIMIT, || Ok(child.try_wait()?.is_some()));
        lock(&self.running).retain(|one| *one != id);
        if ended.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        ended?;
        ensure!(status.success(), "it ended with {status}");
        let text = fs::read_to_string(&out).context("reading its account")?;
        fs::remove_file(&out)?;
        Ok(Counted::of(&serde_json::from_str(&text)?))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
