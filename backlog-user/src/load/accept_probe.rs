//! The programs on failing calls of `accept()`: loaded and attached when they are wanted, which
//! is rare.

use std::any::Any;
use std::thread;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::{Program, ProgramError};
use backlog_ebpf::accepts::{Failure, FailureKey};

use crate::pod::{FailureKeyPod, FailurePod};

/// See the module's head.
pub(crate) struct Probe {
    failed: HashMap<MapData, FailureKeyPod, FailurePod>,
    other: Array<MapData, u32>,
    /// What keeps the programs attached: dropping it takes them off.
    links: Links,
}

type Links = Vec<Box<dyn Any + Send + Sync>>;

impl Probe {
    /// Takes the maps.
    pub(super) fn of(programs: &mut Ebpf) -> Result<Self> {
        let mut take = |name: &'static str| {
            programs.take_map(name).with_context(|| format!("the eBPF object has no map {name}"))
        };
        Ok(Self {
            failed: HashMap::try_from(take("FAILED")?)?,
            other: Array::try_from(take("FAILED_OTHER")?)?,
            links: Links::new(),
        })
    }

    /// Attaches: to the calls alone where perf's tracepoints are there, else to every system
    /// call.
    pub(super) fn attach(&mut self, programs: &mut Ebpf) -> Result<()> {
        self.links = match attach_calls(programs) {
            Ok(links) => links,
            Err(error) => attach_all(programs).with_context(|| format!("{error:#}"))?,
        };
        Ok(())
    }

    /// Takes the programs off, and forgets what they have counted. The kernel waits for each
    /// CPU while it does so, some ten milliseconds: another thread waits for that.
    pub(super) fn detach(&mut self) -> Result<()> {
        let links = std::mem::take(&mut self.links);
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

    /// What was counted, and how many found no room.
    pub(super) fn counted(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        let one = |(key, failure): (FailureKeyPod, FailurePod)| (key.0, failure.0);
        let counted = self.failed.iter().filter_map(Result::ok).map(one).collect();
        (counted, self.other.get(&0, 0).unwrap_or(0))
    }
}

fn attach_calls(programs: &mut Ebpf) -> Result<Links> {
    let program = programs.program_mut("tp_failed").context("there is no tp_failed")?;
    let Program::TracePoint(program) = program else { bail!("tp_failed is not a tracepoint") };
    loaded(program.load()).context("loading the probe on accept()")?;
    let mut links = Links::new();
    for call in ["sys_exit_accept4", "sys_exit_accept"] {
        let id = program
            .attach("syscalls", call)
            .with_context(|| format!("attaching the probe to {call}"))?;
        links.push(Box::new(program.take_link(id)?));
    }
    Ok(links)
}

fn attach_all(programs: &mut Ebpf) -> Result<Links> {
    let program = programs.program_mut("rt_failed").context("there is no rt_failed")?;
    let Program::RawTracePoint(program) = program else {
        bail!("rt_failed is not a raw tracepoint")
    };
    loaded(program.load()).context("loading the probe on accept()")?;
    let id = program.attach("sys_exit").context("attaching the probe to sys_exit")?;
    Ok(vec![Box::new(program.take_link(id)?)])
}

fn loaded(result: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match result {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result,
    }
}
