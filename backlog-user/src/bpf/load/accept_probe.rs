//! The probe on failing calls of `accept()`. It is loaded at the start, since loading needs
//! capabilities that the tool then drops, and attached only when it is wanted, which is rare.

use std::thread;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::RawTracePoint;
use backlog_ebpf::accepts::{Failure, FailureKey};

use crate::bpf::pod::{FailureKeyPod, FailurePod};
use crate::bpf::switch::{Link, Links, Programs, Switch};

/// See the module documentation.
pub(crate) struct Probe {
    failed: HashMap<MapData, FailureKeyPod, FailurePod>,
    other: Array<MapData, u32>,
    /// Does `io_uring` identify the failed request?
    of_uring: bool,
    /// Why the kernel refused to load the programs.
    refused: Option<String>,
}

/// What each program attaches to; the second one is only for `io_uring`.
const PROGRAMS: [(&str, &str); 2] =
    [("rt_failed", "sys_exit"), ("rt_uring_failed", "io_uring_complete")];

impl Probe {
    /// Takes the maps and loads the programs. A refusal by the kernel is reported when the probe is
    /// wanted.
    pub(super) fn of(programs: &mut Ebpf, of_uring: bool) -> Result<Self> {
        let mut take = |name: &'static str| {
            programs.take_map(name).with_context(|| format!("the eBPF object has no map {name}"))
        };
        Ok(Self {
            failed: HashMap::try_from(take("FAILED")?)?,
            other: Array::try_from(take("FAILED_OTHER")?)?,
            of_uring,
            refused: of_kernel(of_uring)
                .try_for_each(|(name, _)| Ok(program(programs, name)?.load()?))
                .err()
                .map(|error: anyhow::Error| format!("loading the probe on accept(): {error:#}")),
        })
    }

    /// Attaches to the exit of every system call, which also covers 32-bit programs, and to the
    /// completions of `io_uring`. Does nothing once all programs were detached.
    pub(super) fn attach(&self, programs: &mut Programs) -> Result<()> {
        if programs.detached {
            return Ok(());
        }
        if let Some(why) = &self.refused {
            bail!("{why}");
        }
        let mut links = Links::new();
        for (name, tracepoint) in of_kernel(self.of_uring) {
            links.push(attach_one(&mut programs.all, name, tracepoint)?);
        }
        programs.accept_probe = links;
        Ok(())
    }

    /// Detaches the programs and clears their counts. Another thread detaches them, since the
    /// kernel waits for each CPU, which takes some ten milliseconds.
    pub(super) fn detach(&mut self, switch: &Switch) -> Result<()> {
        let links = std::mem::take(&mut switch.programs().accept_probe);
        thread::Builder::new()
            .name("detach".into())
            .spawn(move || drop(links))
            .context("starting a thread that detaches the probe on accept()")?;
        let keys: Vec<FailureKeyPod> = self.failed.keys().filter_map(Result::ok).collect();
        for key in keys {
            // The entry may be gone already.
            let _ = self.failed.remove(&key);
        }
        Ok(())
    }

    /// The counts, and the number of failures that found the table full.
    pub(super) fn counted(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        let one = |(key, failure): (FailureKeyPod, FailurePod)| (key.0, failure.0);
        let counted = self.failed.iter().filter_map(Result::ok).map(one).collect();
        (counted, self.other.get(&0, 0).unwrap_or(0))
    }
}

fn of_kernel(of_uring: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS.into_iter().take(if of_uring { 2 } else { 1 })
}

fn program<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint> {
    let program = programs.program_mut(name);
    let program = program.with_context(|| format!("the eBPF object has no program {name}"))?;
    program.try_into().with_context(|| format!("{name} is not a raw tracepoint"))
}

fn attach_one(programs: &mut Ebpf, name: &str, tracepoint: &str) -> Result<Link> {
    let program = program(programs, name)?;
    let id = program
        .attach(tracepoint)
        .with_context(|| format!("attaching the probe on accept() to {tracepoint}"))?;
    Ok(Box::new(program.take_link(id)?))
}
