//! The programs of a run, to be stopped and detached by any thread: by the session in order, or in
//! its place while it is stuck.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::Program;

use crate::clock::monotonic_ns;

/// What keeps the probe on failing calls of `accept()` attached: dropping it takes it off.
pub(crate) type Links = Vec<Link>;

/// One of them.
pub(crate) type Link = Box<dyn Any + Send + Sync>;

/// See the module's head.
pub(crate) struct Switch {
    epoch: Mutex<Array<MapData, u32>>,
    /// When the counting was stopped; zero: it was not.
    stopped_ns: AtomicU64,
    programs: Mutex<Programs>,
}

/// The programs and what keeps them attached.
pub(crate) struct Programs {
    pub(crate) all: Ebpf,
    pub(crate) accept_probe: Links,
    /// Nothing may be attached any more.
    pub(crate) detached: bool,
}

impl Switch {
    /// Takes over attached programs, which do not count yet.
    pub(crate) fn new(programs: Ebpf, epoch: Array<MapData, u32>) -> Self {
        let programs = Programs { all: programs, accept_probe: Links::new(), detached: false };
        Self {
            epoch: Mutex::new(epoch),
            stopped_ns: AtomicU64::new(0),
            programs: Mutex::new(programs),
        }
    }

    /// Lets the programs count into this epoch, unless they were stopped.
    pub(crate) fn begin_epoch(&self, epoch: u32) -> Result<()> {
        let mut map = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopped_ns().is_some() {
            return Ok(());
        }
        map.set(0, epoch, 0).context("setting the epoch of the programs")
    }

    /// Stops the counting; running programs finish. Returns when it was stopped first.
    pub(crate) fn stop(&self) -> Result<u64> {
        let mut map = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stopped_ns) = self.stopped_ns() {
            return Ok(stopped_ns);
        }
        map.set(0, 0, 0).context("stopping the programs")?;
        let now_ns = monotonic_ns();
        self.stopped_ns.store(now_ns, Ordering::SeqCst);
        Ok(now_ns)
    }

    /// When the counting was stopped.
    pub(crate) fn stopped_ns(&self) -> Option<u64> {
        Some(self.stopped_ns.load(Ordering::SeqCst)).filter(|stopped_ns| *stopped_ns != 0)
    }

    /// Takes every program off its hook; the maps stay readable.
    pub(crate) fn detach(&self) {
        let mut programs = self.programs();
        if programs.detached {
            return;
        }
        for (_, program) in programs.all.programs_mut() {
            unload(program);
        }
        programs.accept_probe.clear();
        programs.detached = true;
    }

    /// The programs, while no other thread uses them.
    pub(crate) fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a program off its hooks and out of the kernel.
pub(crate) fn unload(program: &mut Program) {
    // An error says that it was not loaded.
    let _ = match program {
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::KProbe(program) => program.unload(),
        Program::BtfTracePoint(program) => program.unload(),
        Program::RawTracePoint(program) => program.unload(),
        Program::TracePoint(program) => program.unload(),
        Program::Iter(program) => program.unload(),
        _ => Ok(()),
    };
}
