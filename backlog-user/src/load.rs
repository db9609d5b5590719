//! Carries the plan out: the only place that knows aya's loading calls. What it
//! returns holds the programs; when that is dropped, nothing stays attached.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, Queue, RingBuf};
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use backlog_ebpf::filter::{port_bit, port_word};

use crate::filter::Filter;
use crate::layout::Layout;
use crate::plan::{Attach, Hook, Plan};
use crate::pod::{ListenerPod, PendingPod, StrayPod, TotalsPod};
use crate::ports::PortSet;

/// The object that `build.rs` made; empty if it was told to skip that.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/backlog-ebpf.o"));

/// Connection records may wait in the ring until this many bytes are there.
const WAKE_BYTES: u64 = 256 << 10;

/// The kernel's own error for "not supported", which has no name in userspace.
const ENOTSUPP: i32 = 524;

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
}

/// Programs that are attached, and their maps.
pub(crate) struct Loaded {
    pub(crate) programs: Ebpf,
    pub(crate) maps: Maps,
    /// What is attached.
    pub(crate) hooks: Vec<Hook>,
    /// Hooks that the kernel refused and that are not indispensable.
    pub(crate) gaps: Vec<String>,
    #[cfg(feature = "ebpf-log")]
    pub(crate) log: crate::program_log::ProgramLog,
}

impl Loaded {
    /// The sum of the programs' `recursion_misses`, if the kernel tells.
    pub(crate) fn missed(&self) -> Option<u64> {
        let mut sum = None;
        for (_, program) in self.programs.programs() {
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

    /// Takes every program off its hook; the maps stay readable.
    pub(crate) fn detach(&mut self) {
        for (_, program) in self.programs.programs_mut() {
            // An error says that it was not loaded: it was not in the plan.
            let _ = match program {
                Program::FEntry(program) => program.unload(),
                Program::FExit(program) => program.unload(),
                _ => Ok(()),
            };
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
        .map_max_entries("PENDING", limits.pending);
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
    /// The function that it was loaded for.
    pub(crate) function: String,
    /// Instructions that the verifier walked; none before 5.16.
    pub(crate) walked: Option<u32>,
    /// Bytes of the program after the kernel's own rewriting.
    pub(crate) translated: Option<u32>,
}

/// Loads programs without attaching them.
pub(crate) fn verify(hooks: &[Hook], layout: &Layout, limits: Limits) -> Result<Vec<Verified>> {
    let btf = kernel_types()?;
    let mut programs = create(&btf, layout, &Filter::default(), limits)?;
    let mut verified = Vec::new();
    for hook in hooks {
        let program = load_one(&mut programs, hook, &btf)?;
        let info = program.info().with_context(|| format!("asking about {}", hook.program))?;
        verified.push(Verified {
            program: hook.program.to_owned(),
            function: hook.function.to_owned(),
            walked: info.verified_instruction_count(),
            translated: info.size_translated(),
        });
    }
    Ok(verified)
}

/// Loads and attaches what the plan says.
pub(crate) fn load(
    plan: &Plan,
    layout: &Layout,
    filter: &Filter,
    limits: Limits,
) -> Result<Loaded> {
    let btf = kernel_types()?;
    let mut programs = create(&btf, layout, filter, limits)?;
    let mut maps = take_maps(&mut programs)?;
    for slot in 0..limits.slots {
        maps.free_slots.push(slot, 0).context("filling the table of free slots")?;
    }
    if let Some(ports) = &filter.ports {
        fill_ports(&mut programs, ports)?;
    }
    let (mut hooks, mut gaps) = (Vec::new(), Vec::new());
    for hook in &plan.hooks {
        match attach(&mut programs, hook, &btf) {
            Ok(()) => hooks.push(*hook),
            Err(error) if hook.is_optional() => {
                gaps.push(format!("{} is not seen: {error:#}", hook.moment));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Loaded {
        #[cfg(feature = "ebpf-log")]
        log: crate::program_log::ProgramLog::start(&mut programs)?,
        programs,
        maps,
        hooks,
        gaps,
    })
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

/// Loads one program for its function.
fn load_one<'a>(programs: &'a mut Ebpf, hook: &Hook, btf: &Btf) -> Result<&'a mut Program> {
    let Hook { moment: _, program: name, function, attach } = hook;
    let program = programs
        .program_mut(name)
        .ok_or_else(|| anyhow!("the eBPF object has no program {name}"))?;
    match (&mut *program, attach) {
        (Program::FEntry(program), Attach::Fentry) => program.load(function, btf),
        (Program::FExit(program), Attach::Fexit) => program.load(function, btf),
        _ => bail!("the program {name} is not of the type that the plan says"),
    }
    .map_err(|error| refused(error, hook))?;
    Ok(program)
}

fn attach(programs: &mut Ebpf, hook: &Hook, btf: &Btf) -> Result<()> {
    match load_one(programs, hook, btf)? {
        Program::FEntry(program) => program.attach().map(drop),
        Program::FExit(program) => program.attach().map(drop),
        // `load_one` has refused every other type.
        _ => Ok(()),
    }
    .map_err(|error| refused(error, hook))
}

/// What the kernel's refusal of a program means, and what to do.
fn refused(error: ProgramError, hook: &Hook) -> anyhow::Error {
    let place = format!("{} on {}", hook.program, hook.function);
    if let ProgramError::LoadError { io_error, verifier_log } = &error {
        let log = verifier_log.to_string();
        if !log.trim().is_empty() {
            return anyhow!(
                "the kernel's verifier refuses the program {place} ({io_error}): please report \
                 this with your `uname -r`. The end of its log:\n{}",
                tail(&log)
            );
        }
    }
    let what = match errno(&error) {
        Some(libc::EPERM | libc::EACCES) => {
            "the kernel refuses fentry and fexit programs (a hardened kernel, lockdown, or too few \
             capabilities): run as root on a kernel that permits them; the ways of attaching \
             that do without are not built yet"
        }
        Some(ENOTSUPP | libc::EOPNOTSUPP) => {
            "this kernel cannot attach fentry and fexit programs here (no BPF trampoline: arm64 \
             before 6.4, or CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS off)"
        }
        _ => return anyhow::Error::new(error).context(format!("attaching {place}")),
    };
    match errno(&error) {
        Some(number) => anyhow!("{what} ({place}: {})", io::Error::from_raw_os_error(number)),
        None => anyhow!("{what} ({place})"),
    }
}

/// The last lines, which say why.
fn tail(log: &str) -> String {
    const LINES: usize = 8;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn explain(error: aya::EbpfError, doing: &'static str) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    match errno_of(&error) {
        Some(libc::EPERM) => error.context(format!(
            "{doing}: the kernel refuses it: run as root (sudo backlog-trace ...), or with the \
             capabilities CAP_BPF and CAP_PERFMON; before 5.11 the limit of locked memory must \
             allow it too (ulimit -l unlimited)"
        )),
        _ => error.context(doing),
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = current.source();
    }
    match error {
        ProgramError::LoadError { io_error, .. } => io_error.raw_os_error(),
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn errno_of(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

/// Before 5.11 eBPF memory counts against this limit. Where it may not be raised,
/// the kernel is usually a later one, which does not look at it.
fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call reads the struct it is given and nothing else.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
