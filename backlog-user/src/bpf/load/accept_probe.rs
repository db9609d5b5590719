//! The programs on failing calls of `accept()`: loaded and attached when they are wanted, which
//! is rare.

use std::thread;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::{Program, ProgramError};
use backlog_ebpf::accepts::{Failure, FailureKey};

use crate::bpf::pod::{FailureKeyPod, FailurePod};
use crate::bpf::switch::{Links, Programs, Switch};

/// See the module's head.
pub(crate) struct Probe {
    failed: HashMap<MapData, FailureKeyPod, FailurePod>,
    other: Array<MapData, u32>,
    /// Does `io_uring` identify the failed request?
    of_uring: bool,
}

impl Probe {
    /// Takes the maps.
    pub(super) fn of(programs: &mut Ebpf, of_uring: bool) -> Result<Self> {
        let mut take = |name: &'static str| {
            programs.take_map(name).with_context(|| format!("the eBPF object has no map {name}"))
        };
        Ok(Self {
            failed: HashMap::try_from(take("FAILED")?)?,
            other: Array::try_from(take("FAILED_OTHER")?)?,
            of_uring,
        })
    }

    /// Attaches to the end of every system call, which also covers 32-bit programs, and to the
    /// completions of `io_uring`; not after all programs were detached.
    pub(super) fn attach(&self, programs: &mut Programs) -> Result<()> {
        if programs.detached {
            return Ok(());
        }
        let mut links = attach_one(&mut programs.all, "rt_failed", "sys_exit")?;
        if self.of_uring {
            links.extend(attach_one(&mut programs.all, "rt_uring_failed", "io_uring_complete")?);
        }
        programs.accept_probe = links;
        Ok(())
    }

    /// Detaches the programs and drops their counts. The kernel waits for each CPU meanwhile, some
    /// ten milliseconds, so another thread does it.
    pub(super) fn detach(&mut self, switch: &Switch) -> Result<()> {
        let links = std::mem::take(&mut switch.programs().accept_probe);
        thread::Builder::new()
            .name("detach".into())
            .spawn(move || drop(links))
            .context("starting a thread that detaches the probe on accept()")?;
        let keys: Vec<FailureKeyPod> = self.failed.keys().filter_map(Result::ok).collect();
        for key in keys {
            // It may be gone.
            let _ = self.failed.remove(&key);
        }
        Ok(())
    }

    /// The counts, and the number of failures without room.
    pub(super) fn counted(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        let one = |(key, failure): (FailureKeyPod, FailurePod)| (key.0, failure.0);
        let counted = self.failed.iter().filter_map(Result::ok).map(one).collect();
        (counted, self.other.get(&0, 0).unwrap_or(0))
    }
}

fn attach_one(programs: &mut Ebpf, name: &str, tracepoint: &str) -> Result<Links> {
    let program = programs.program_mut(name).with_context(|| {
        format!(
            "the eBPF object has no \
        program {name}"
        )
    })?;
    let Program::RawTracePoint(program) = program else { bail!("{name} is not a raw tracepoint") };
    match program.load() {
        Err(ProgramError::AlreadyLoaded) => {}
        result => result.context("loading the probe on accept()")?,
    }
    let id = program
        .attach(tracepoint)
        .with_context(|| format!("attaching the probe on accept() to {tracepoint}"))?;
    Ok(vec![Box::new(program.take_link(id)?)])
}
