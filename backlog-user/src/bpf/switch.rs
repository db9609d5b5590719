//! Stops and detaches the programs of a run, from any thread: the session does so in order, and the
//! guard does so if the session is stuck.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::Program;

use crate::clock::monotonic_ns;

/// Keeps the probe on failing calls of `accept()` attached; dropping it detaches the probe.
pub(crate) type Links = Vec<Link>;

/// The link of one program.
pub(crate) type Link = Box<dyn Any + Send + Sync>;

/// See the module documentation.
pub(crate) struct Switch {
    epoch: Mutex<Array<MapData, u32>>,
    /// When counting was stopped; zero if it was not.
    stopped_ns: AtomicU64,
    programs: Mutex<Programs>,
}

/// The programs, and the links of the probe.
pub(crate) struct Programs {
    pub(crate) all: Ebpf,
    pub(crate) accept_probe: Links,
    /// Everything was detached, and nothing may be attached again.
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

    /// Starts counting in this epoch, unless the programs were stopped.
    pub(crate) fn begin_epoch(&self, epoch: u32) -> Result<()> {
        let mut map = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopped_ns().is_some() {
            return Ok(());
        }
        map.set(0, epoch, 0).context("setting the epoch of the programs")
    }

    /// Stops counting; running programs finish. Returns when it was first stopped.
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

    /// When counting was stopped, if it was.
    pub(crate) fn stopped_ns(&self) -> Option<u64> {
        Some(self.stopped_ns.load(Ordering::SeqCst)).filter(|stopped_ns| *stopped_ns != 0)
    }

    /// Detaches every program; the maps stay readable.
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

    /// Locks the programs.
    pub(crate) fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detaches and unloads a program.
pub(crate) fn unload(program: &mut Program) {
    // An error means that it was not loaded.
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
