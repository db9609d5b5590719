//! Carries the plan out: the only place that knows aya's loading calls. What it
//! returns holds the programs; when that is dropped, nothing stays attached.

mod refusal;

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, Queue, RingBuf};
use aya::programs::iter::IterLink;
use aya::programs::{Iter, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use backlog_ebpf::filter::{port_bit, port_word};

use crate::filter::Filter;
use crate::layout::Layout;
use crate::plan::{Attach, Hook, Plan, Way};
use crate::pod::{ListenerPod, PendingPod, StrayPod, TotalsPod};
use crate::ports::PortSet;
use refusal::{explain, refused};

/// The object that `build.rs` made; empty if it was told to skip that.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/backlog-ebpf.o"));

/// Connection records may wait in the ring until this many bytes are there.
const WAKE_BYTES: u64 = 256 << 10;

/// What is decided before the programs are loaded and cannot change afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many listeners can be told apart at once.
    pub(crate) slots: u32,
    /// How many connections can sit in accept queues at once and be timed.
    pub(crate) pending: u32,
    /// Bytes of the ring.
    pub(crate) ring: u32,
    /// Drop records of a listener in a second, on each CPU.
    pub(crate) drop_records: u32,
    /// Of these: those that are to be heard of at once.
    pub(crate) urgent_records: u32,
}

/// The maps, by what they hold.
pub(crate) struct Maps {
    pub(crate) events: RingBuf<MapData>,
    pub(crate) totals: PerCpuArray<MapData, TotalsPod>,
    pub(crate) info: Array<MapData, ListenerPod>,
    pub(crate) pending: HashMap<MapData, u64, PendingPod>,
    pub(crate) listeners: HashMap<MapData, u64, u32>,
    pub(crate) epoch: Array<MapData, u32>,
    pub(crate) free_slots: Queue<MapData, u32>,
    pub(crate) stray: PerCpuArray<MapData, StrayPod>,
    pub(crate) seed: Array<MapData, u32>,
}

/// Programs that are attached, and their maps.
pub(crate) struct Loaded {
    pub(crate) programs: Ebpf,
    pub(crate) maps: Maps,
    pub(crate) attached: Attached,
    #[cfg(feature = "ebpf-log")]
    pub(crate) log: crate::program_log::ProgramLog,
}

impl Loaded {
    /// The sum of the programs' `recursion_misses`, if the kernel tells. Of two programs on
    /// one tracepoint the other has seen what one has missed.
    pub(crate) fn missed(&self) -> Option<u64> {
        let hooks = &self.attached.hooks;
        let is_twin = |hook: &Hook, attach| {
            hooks.iter().any(|other| other.target == hook.target && other.attach == attach)
        };
        let alone = |name: &str| {
            hooks.iter().filter(|hook| hook.program == name).all(|hook| {
                !(is_twin(hook, Attach::BtfTracepoint) && is_twin(hook, Attach::RawTracepoint))
            })
        };
        let mut sum = None;
        for (_, program) in self.programs.programs().filter(|(name, _)| alone(name)) {
            let Ok(descriptor) = program.fd() else {
                continue;
            };
            let file = format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd());
            let info = std::fs::read_to_string(file).ok()?;
            let misses = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            sum = Some(sum.unwrap_or(0) + misses.trim().parse::<u64>().ok()?);
        }
        sum
    }

    /// Is the look into the queues at the start among what is attached?
    pub(crate) fn looks_into_queues(&self) -> bool {
        self.attached.hooks.iter().any(|hook| hook.attach == Attach::Iter)
    }

    /// A run of the iterator over the sockets of a namespace: that of the thread which
    /// turns it into a file.
    pub(crate) fn iterator(&mut self) -> Result<IterLink> {
        let program = self.programs.program_mut("it_queued").context("there is no it_queued")?;
        let program: &mut Iter = program.try_into()?;
        let link = program.attach().context("running the look into the queues")?;
        Ok(program.take_link(link)?)
    }

    /// Takes every program off its hook; the maps stay readable.
    pub(crate) fn detach(&mut self) {
        for (_, program) in self.programs.programs_mut() {
            unload(program);
        }
    }
}

/// The kernel's types, for aya.
fn kernel_types() -> Result<Btf> {
    Btf::from_sys_fs().context("reading the kernel's type information")
}

/// Creates the maps and fills in what is fixed before the programs are verified.
fn create(btf: &Btf, layout: &Layout, filter: &Filter, limits: Limits) -> Result<Ebpf> {
    if OBJECT.is_empty() {
        bail!(
            "this binary was built without its eBPF programs (BACKLOG_EBPF=skip): build it with \
             `cargo xtask build`"
        );
    }
    raise_memlock();
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("EVENTS", limits.ring)
        .map_max_entries("LISTENERS", limits.slots)
        .map_max_entries("FREE_SLOTS", limits.slots)
        .map_max_entries("SLOT_INFO", limits.slots)
        .map_max_entries("TOTALS", limits.slots)
        .map_max_entries("PENDING", limits.pending)
        .map_max_entries("AT_PORT", limits.slots);
    for (global, value) in layout.iter() {
        loader.override_global(global, value, true);
    }
    let filter_ports = u32::from(filter.ports.is_some());
    let filter_family = u32::from(filter.family.unwrap_or(0));
    loader
        .override_global("FILTER_PORTS", &filter_ports, true)
        .override_global("FILTER_FAMILY", &filter_family, true)
        .override_global("WAKE_BYTES", &WAKE_BYTES, true)
        .override_global("DROP_RECORDS", &limits.drop_records, true)
        .override_global("URGENT_RECORDS", &limits.urgent_records, true);
    loader.load(OBJECT).map_err(|error| explain(error, "creating the maps"))
}

/// What the verifier made of a program.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Verified {
    /// Its name.
    pub(crate) program: String,
    /// The function or tracepoint that it was loaded for.
    pub(crate) function: String,
    /// Instructions that the verifier walked; none before 5.16.
    pub(crate) walked: Option<u32>,
    /// Bytes of the program after the kernel's own rewriting.
    pub(crate) translated: Option<u32>,
}

/// The programs of the object, with their maps, before any is attached.
pub(crate) struct Kit {
    programs: Ebpf,
    btf: Btf,
    limits: Limits,
}

impl Kit {
    /// Creates the maps and fills in what is fixed before the programs are verified.
    pub(crate) fn create(layout: &Layout, filter: &Filter, limits: Limits) -> Result<Self> {
        let btf = kernel_types()?;
        let mut programs = create(&btf, layout, filter, limits)?;
        if let Some(ports) = &filter.ports {
            fill_ports(&mut programs, ports)?;
        }
        Ok(Self { programs, btf, limits })
    }

    /// Tries a way of attaching by a program on a hook that every kernel has.
    pub(crate) fn try_way(&mut self, way: Way) -> Result<(), String> {
        let (program, target) = match way {
            Way::Fentry => ("fe_open", "inet_csk_listen_start"),
            Way::Kprobe => ("kp_open", "inet_csk_listen_start"),
            Way::BtfTracepoint => ("tb_state", "inet_sock_set_state"),
            Way::RawTracepoint => ("rt_state", "inet_sock_set_state"),
            Way::Tracepoint => ("tp_listen", "syscalls:sys_exit_listen"),
            Way::Iter => ("it_queued", "tcp"),
        };
        let hook = Hook { moment: "trial", program, target, attach: Attach::of(program) };
        let result = self.attach_hook(&hook).map_err(|error| format!("{error:#}"));
        self.detach(&hook);
        result
    }

    /// Loads a program without attaching it, and takes it back.
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

    /// Tries to attach the programs of a choice, and takes them back.
    pub(crate) fn try_choice(&mut self, choice: &[Hook]) -> Result<()> {
        let result = self.attach_choice(choice);
        for hook in choice {
            self.detach(hook);
        }
        result
    }

    /// Attaches what the plan says. On an error nothing of it stays.
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
                    let none = || anyhow!("there is no way to attach {}", moment.name);
                    return Err(error.unwrap_or_else(none));
                }
            }
        }
        Ok(attached)
    }

    /// Attaches all programs of a choice, or none.
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
                None => bail!("{target} is no tracepoint of perf's"),
            },
            // `load_one` has refused every other type, and an iterator is attached when
            // it is run.
            _ => Ok(()),
        }
        .map_err(|error| refused(error, hook))
    }

    fn detach(&mut self, hook: &Hook) {
        if let Some(program) = self.programs.program_mut(hook.program) {
            unload(program);
        }
    }

    /// Takes the maps, and with them everything.
    pub(crate) fn ready(mut self, attached: Attached) -> Result<Loaded> {
        let mut maps = take_maps(&mut self.programs)?;
        for slot in 0..self.limits.slots {
            maps.free_slots.push(slot, 0).context("filling the table of free slots")?;
        }
        Ok(Loaded {
            #[cfg(feature = "ebpf-log")]
            log: crate::program_log::ProgramLog::start(&mut self.programs)?,
            programs: self.programs,
            maps,
            attached,
        })
    }
}

/// What came of a plan.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// What is attached.
    pub(crate) hooks: Vec<Hook>,
    /// Moments whose first choice the kernel refused, with what stands in for it.
    pub(crate) fallbacks: Vec<String>,
    /// Hooks that the kernel refused and that are not indispensable.
    pub(crate) gaps: Vec<String>,
}

fn take_maps(programs: &mut Ebpf) -> Result<Maps> {
    let mut take = |name: &'static str| {
        programs.take_map(name).ok_or_else(|| anyhow!("the eBPF object has no map {name}"))
    };
    Ok(Maps {
        events: RingBuf::try_from(take("EVENTS")?)?,
        totals: PerCpuArray::try_from(take("TOTALS")?)?,
        info: Array::try_from(take("SLOT_INFO")?)?,
        pending: HashMap::try_from(take("PENDING")?)?,
        listeners: HashMap::try_from(take("LISTENERS")?)?,
        epoch: Array::try_from(take("EPOCH")?)?,
        free_slots: Queue::try_from(take("FREE_SLOTS")?)?,
        stray: PerCpuArray::try_from(take("STRAY")?)?,
        seed: Array::try_from(take("SEED")?)?,
    })
}

fn fill_ports(programs: &mut Ebpf, ports: &PortSet) -> Result<()> {
    let map = programs.map_mut("PORTS").context("the eBPF object has no map PORTS")?;
    let mut words: Array<&mut MapData, u64> = Array::try_from(map)?;
    let mut bits = std::collections::BTreeMap::<u32, u64>::new();
    for port in ports.iter() {
        *bits.entry(port_word(port)).or_default() |= port_bit(port);
    }
    for (word, bits) in bits {
        words.set(word, bits, 0).context("filling the port filter")?;
    }
    Ok(())
}

/// Takes a program off its hooks and out of the kernel.
fn unload(program: &mut Program) {
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

/// Loads one program for its hook. One that sits on several is loaded once.
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
        _ => bail!("the program {name} is not of the type that the plan says"),
    }
    .or_else(|error| match error {
        ProgramError::AlreadyLoaded => Ok(()),
        error => Err(refused(error, hook)),
    })?;
    Ok(program)
}

/// Before 5.11 eBPF memory counts against this limit. Where it may not be raised,
/// the kernel is usually a later one, which does not look at it.
fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call reads the struct it is given and nothing else.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
