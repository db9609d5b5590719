//! Loads the programs: tries attach types, verifies programs, and attaches and detaches them.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::Array;
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};
use backlog_core::filter::Filter;

use super::accept_probe::Probe;
use super::refusal::refused;
use super::{Limits, Loaded, create, fill_ports, fill_wanted, kernel_types, take_maps};
use crate::bpf::layout::Layout;
use crate::bpf::plan::{Attach, Hook, Plan, Way};
use crate::bpf::switch::{Switch, unload};

/// The verifier's figures for a program.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Verified {
    /// Name of the program.
    pub(crate) program: String,
    /// The kernel function or tracepoint that it was loaded for.
    pub(crate) function: String,
    /// Instructions that the verifier processed; None before 5.16.
    pub(crate) walked: Option<u32>,
    /// Size of the program in bytes after the kernel has rewritten it.
    pub(crate) translated: Option<u32>,
}

/// The programs of the object and their maps, before any is attached.
pub(crate) struct Loader {
    programs: Ebpf,
    btf: Btf,
    limits: Limits,
    uring_requests: bool,
}

impl Loader {
    /// Creates the maps and sets the globals that are fixed before the programs are verified.
    pub(crate) fn create(layout: &Layout, filter: &Filter, limits: Limits) -> Result<Self> {
        let btf = kernel_types()?;
        let mut programs = create(&btf, layout, filter, limits)?;
        if let Some(ports) = &filter.ports {
            fill_ports(&mut programs, ports)?;
        }
        if let Some(held) = &filter.process {
            fill_wanted(&mut programs, held.sockets.iter().copied())?;
        }
        Ok(Self { programs, btf, limits, uring_requests: layout.knows_uring_requests() })
    }

    /// Tries an attach type with a program on a hook that every kernel has. It is the shortest such
    /// program, since the verifier runs again when it is attached.
    pub(crate) fn try_way(&mut self, way: Way) -> Result<(), String> {
        let (program, target) = match way {
            Way::Fentry => ("fe_open", "inet_csk_listen_start"),
            Way::Kprobe => ("kp_open", "inet_csk_listen_start"),
            Way::BtfTracepoint => ("tb_destroy", "tcp_destroy_sock"),
            Way::RawTracepoint => ("rt_destroy", "tcp_destroy_sock"),
            Way::Tracepoint => ("tp_listen", "syscalls:sys_exit_listen"),
            Way::Iter => ("it_queued", "tcp"),
        };
        let hook = Hook { moment: "trial", program, target, attach: Attach::of(program) };
        let result = self.attach_hook(&hook).map_err(|error| format!("{error:#}"));
        self.detach(&hook);
        result
    }

    /// Loads a program without attaching it, and unloads it.
    pub(crate) fn verify(&mut self, hook: &Hook) -> Result<Verified> {
        let program = load_one(&mut self.programs, hook, &self.btf)?;
        let info = program.info().with_context(|| format!("asking about {}", hook.program))?;
        let verified = Verified {
            program: hook.program.to_owned(),
            function: hook.target.to_owned(),
            walked: info.verified_instruction_count(),
            translated: info.size_translated(),
        };
        self.detach(hook);
        Ok(verified)
    }

    /// Tries to attach the programs of an alternative, and detaches them.
    pub(crate) fn try_choice(&mut self, choice: &[Hook]) -> Result<()> {
        let result = self.attach_choice(choice);
        for hook in choice {
            self.detach(hook);
        }
        result
    }

    /// Attaches the hooks of the plan. On an error nothing stays attached.
    pub(crate) fn attach(&mut self, plan: &Plan) -> Result<Attached> {
        let mut attached = Attached::default();
        for moment in &plan.moments {
            let mut refusals = Vec::new();
            let chosen = moment.choices.iter().find(|choice| match self.attach_choice(choice) {
                Ok(()) => true,
                Err(error) => {
                    refusals.push(error);
                    false
                }
            });
            match (chosen, moment.gap, refusals.pop()) {
                (Some(choice), _, None) => attached.hooks.extend(choice),
                (Some(choice), _, Some(error)) => {
                    attached.hooks.extend(choice);
                    let first = choice.first().map(Hook::describe).unwrap_or_default();
                    attached.fallbacks.push(format!("{}: by {first}: {error:#}", moment.name));
                }
                (None, Some(gap), Some(error)) => attached.gaps.push(format!("{gap}: {error:#}")),
                (None, Some(gap), None) => attached.gaps.push(gap.to_owned()),
                (None, None, error) => {
                    for hook in &attached.hooks {
                        self.detach(hook);
                    }
                    let none = || anyhow!("no way to attach {}", moment.name);
                    return Err(error.unwrap_or_else(none));
                }
            }
        }
        Ok(attached)
    }

    /// Attaches all programs of an alternative, or none.
    fn attach_choice(&mut self, choice: &[Hook]) -> Result<()> {
        for (index, hook) in choice.iter().enumerate() {
            if let Err(error) = self.attach_hook(hook) {
                for hook in choice.iter().take(index + 1) {
                    self.detach(hook);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn attach_hook(&mut self, hook: &Hook) -> Result<()> {
        let target = hook.target;
        match load_one(&mut self.programs, hook, &self.btf)? {
            Program::FEntry(program) => program.attach().map(drop),
            Program::FExit(program) => program.attach().map(drop),
            Program::KProbe(program) => program.attach(target, 0).map(drop),
            Program::BtfTracePoint(program) => program.attach().map(drop),
            Program::RawTracePoint(program) => program.attach(target).map(drop),
            Program::TracePoint(program) => match target.split_once(':') {
                Some((category, name)) => program.attach(category, name).map(drop),
                None => bail!("{target} is not a perf tracepoint"),
            },
            // `load_one` has refused every other type. An iterator is attached when it runs.
            _ => Ok(()),
        }
        .map_err(|error| refused(error, hook))
    }

    fn detach(&mut self, hook: &Hook) {
        if let Some(program) = self.programs.program_mut(hook.program) {
            unload(program);
        }
    }

    /// Takes the maps and fills the table of free slots. `counts_kprobes` is for [`Loaded`].
    pub(crate) fn ready(mut self, attached: Attached, counts_kprobes: bool) -> Result<Loaded> {
        let mut maps = take_maps(&mut self.programs)?;
        let accept_probe = Probe::of(&mut self.programs, self.uring_requests)?;
        let epoch = self.programs.take_map(".bss").context("the eBPF object has no map .bss")?;
        for slot in 0..self.limits.slots {
            maps.free_slots.push(slot, 0).context("filling the table of free slots")?;
        }
        Ok(Loaded {
            #[cfg(feature = "ebpf-log")]
            log: crate::bpf::program_log::ProgramLog::start(&mut self.programs)?,
            switch: Arc::new(Switch::new(self.programs, Array::try_from(epoch)?)),
            maps,
            attached,
            accept_probe,
            counts_kprobes,
        })
    }
}

/// The result of attaching a plan.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The hooks that are attached.
    pub(crate) hooks: Vec<Hook>,
    /// Probe points whose first alternative the kernel refused, with the one used instead.
    pub(crate) fallbacks: Vec<String>,
    /// Gaps left by optional hooks that the kernel refused.
    pub(crate) gaps: Vec<String>,
}

/// Loads a program for its hook. A program with several hooks is loaded once.
fn load_one<'a>(programs: &'a mut Ebpf, hook: &Hook, btf: &Btf) -> Result<&'a mut Program> {
    let Hook { moment: _, program: name, target, attach } = hook;
    let program = programs
        .program_mut(name)
        .ok_or_else(|| anyhow!("the eBPF object has no program {name}"))?;
    match (&mut *program, attach) {
        (Program::FEntry(program), Attach::Fentry) => program.load(target, btf),
        (Program::FExit(program), Attach::Fexit) => program.load(target, btf),
        (Program::KProbe(program), Attach::Kprobe | Attach::Kretprobe) => program.load(),
        (Program::BtfTracePoint(program), Attach::BtfTracepoint) => program.load(target, btf),
        (Program::RawTracePoint(program), Attach::RawTracepoint) => program.load(),
        (Program::TracePoint(program), Attach::Tracepoint) => program.load(),
        (Program::Iter(program), Attach::Iter) => program.load(target, btf),
        _ => bail!("the program {name} does not have the planned type"),
    }
    .or_else(|error| match error {
        ProgramError::AlreadyLoaded => Ok(()),
        error => Err(refused(error, hook)),
    })?;
    Ok(program)
}
