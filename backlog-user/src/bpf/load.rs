//! Executes the plan; only this module calls aya's loader. The result owns the programs: dropping
//! it detaches everything.

mod accept_probe;
mod loader;
mod offsets;
mod refusal;

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, Queue, RingBuf};
use aya::programs::Iter;
use aya::programs::iter::IterLink;
use aya::{Btf, Ebpf, EbpfLoader};
use backlog_core::event::Netns;
use backlog_core::filter::Filter;
use backlog_core::filter::ports::PortSet;
use backlog_ebpf::accepts::{Failure, FailureKey};
use backlog_ebpf::filter::{port_bit, port_word};

use crate::bpf::layout::Layout;
use crate::bpf::mapped_array::Table;
use crate::bpf::plan::{Attach, Hook, Way};
use crate::bpf::pod::{
    DistributionsPod, ListenerPod, PendingPod, StrayPod, TotalsPod, WaitingPod, WorkersPod,
};
use crate::bpf::switch::Switch;
use crate::host::namespaces::identity::Identify;
use accept_probe::Probe;
pub(crate) use loader::{Attached, Loader};
use refusal::explain;

/// The object built by `build.rs`; empty if the build skipped it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/backlog-ebpf.o"));

/// Drop records may wait in the ring buffer until it holds this many bytes.
const WAKE_BYTES: u64 = 256 << 10;

/// Settings fixed before the programs are loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The maximum number of listeners at the same time.
    pub(crate) slots: u32,
    /// How many queued connections can be tracked at once.
    pub(crate) pending: u32,
    /// Size of the ring buffer in bytes.
    pub(crate) ring: u32,
    /// Drop records per listener, second and CPU.
    pub(crate) drop_records: u32,
    /// How many of them wake userspace immediately.
    pub(crate) urgent_records: u32,
}

/// The maps of the programs.
pub(crate) struct Maps {
    pub(crate) events: RingBuf<MapData>,
    pub(crate) totals: PerCpuArray<MapData, TotalsPod>,
    pub(crate) info: Table<ListenerPod>,
    pub(crate) pending: HashMap<MapData, u64, PendingPod>,
    pub(crate) waiting: Table<WaitingPod>,
    pub(crate) distributions: Table<DistributionsPod>,
    pub(crate) workers: Array<MapData, WorkersPod>,
    pub(crate) crowded: Array<MapData, u32>,
    pub(crate) listeners: HashMap<MapData, u64, u32>,
    pub(crate) free_slots: Queue<MapData, u32>,
    pub(crate) stray: PerCpuArray<MapData, StrayPod>,
    pub(crate) seed: Array<MapData, u32>,
    pub(crate) wanted: HashMap<MapData, u64, u8>,
    pub(crate) asked_netns: Array<MapData, u32>,
}

/// The attached programs and their maps.
pub(crate) struct Loaded {
    /// The programs themselves, with the means to stop and detach them.
    pub(crate) switch: Arc<Switch>,
    pub(crate) maps: Maps,
    pub(crate) attached: Attached,
    /// The probe on failing calls of `accept()`, attached only while nobody accepts.
    accept_probe: Probe,
    /// Does the kernel count skipped runs of kprobe programs (since 6.7)?
    pub(crate) counts_kprobes: bool,
    #[cfg(feature = "ebpf-log")]
    pub(crate) log: crate::bpf::program_log::ProgramLog,
}

impl Loaded {
    /// The sum of the programs' `recursion_misses`, if the kernel reports it. Pairs of programs on
    /// one tracepoint are left out: the second one sees the events that the first one misses.
    pub(crate) fn missed(&self) -> Option<u64> {
        let hooks = &self.attached.hooks;
        let is_kprobe = |hook: &Hook| hook.attach.way() == Way::Kprobe;
        if !self.counts_kprobes && hooks.iter().any(is_kprobe) {
            return None;
        }
        let is_twin = |hook: &Hook, attach| {
            hooks.iter().any(|other| other.target == hook.target && other.attach == attach)
        };
        let alone = |name: &str| {
            hooks.iter().filter(|hook| hook.program == name).all(|hook| {
                !(is_twin(hook, Attach::BtfTracepoint) && is_twin(hook, Attach::RawTracepoint))
            })
        };
        let mut sum = None;
        let programs = self.switch.programs();
        for (_, program) in programs.all.programs().filter(|(name, _)| alone(name)) {
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

    /// The kernel's ID of each attached program, if all are known.
    pub(crate) fn numbers(&self) -> Option<BTreeMap<&'static str, u32>> {
        let programs = self.switch.programs();
        let number = |hook: &Hook| {
            let program = programs.all.program(hook.program)?;
            Some((hook.program, program.info().ok()?.id()))
        };
        self.attached.hooks.iter().map(number).collect()
    }

    /// Is the iterator of the startup scan attached?
    pub(crate) fn looks_into_queues(&self) -> bool {
        self.attached.hooks.iter().any(|hook| hook.attach == Attach::Iter)
    }

    /// Are there programs on tracepoints, which track every queued connection in the map?
    pub(crate) fn on_tracepoints(&self) -> bool {
        let on_tracepoint =
            |hook: &Hook| matches!(hook.attach, Attach::BtfTracepoint | Attach::RawTracepoint);
        self.attached.hooks.iter().any(on_tracepoint)
    }

    /// An iterator over the sockets of a network namespace: that of the thread which opens it as a
    /// file.
    pub(crate) fn iterator(&mut self) -> Result<IterLink> {
        let mut programs = self.switch.programs();
        let program = programs.all.program_mut("it_queued").context(
            "the eBPF object has no \
            program it_queued",
        )?;
        let program: &mut Iter = program.try_into()?;
        let link = program.attach().context("running the startup scan of the queues")?;
        Ok(program.take_link(link)?)
    }

    /// Attaches the probe on failing calls of `accept()`.
    pub(crate) fn attach_accept_probe(&mut self) -> Result<()> {
        self.accept_probe.attach(&mut self.switch.programs())
    }

    /// Detaches the probe on failing calls of `accept()`.
    pub(crate) fn detach_accept_probe(&mut self) -> Result<()> {
        self.accept_probe.detach(&self.switch)
    }

    /// The probe's counts, and the number of failures that found its table full.
    pub(crate) fn failed_accepts(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        self.accept_probe.counted()
    }

    /// How to identify the network namespace of a thread in the same way as the programs.
    pub(crate) fn identify(&self, by_cookie: bool) -> Identify {
        if by_cookie {
            return Identify::Cookie;
        }
        let programs = self.switch.programs();
        let program = self.looks_into_queues().then(|| programs.all.program("it_queued")).flatten();
        let owned =
            program.and_then(|program| program.fd().ok()?.as_fd().try_clone_to_owned().ok());
        owned.map_or(Identify::Unknown, |program| Identify::Iterator(Arc::new(program)))
    }
}

/// The kernel's BTF, for aya.
fn kernel_types() -> Result<Btf> {
    Btf::from_sys_fs().context("reading the kernel's type information")
}

/// Creates the maps and fills in the values that are fixed before the programs are verified.
fn create(btf: &Btf, layout: &Layout, filter: &Filter, limits: Limits) -> Result<Ebpf> {
    if OBJECT.is_empty() {
        bail!(
            "this binary was built without its eBPF programs (BACKLOG_EBPF=skip): build it with \
             `cargo xtask build`"
        );
    }
    raise_memlock();
    // The table is direct-mapped: when it is half full, every fourth connection finds its place
    // taken.
    let places = 2 * limits.pending.next_power_of_two();
    let met_places = 4 * limits.slots.next_power_of_two();
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("EVENTS", limits.ring)
        .map_max_entries("LISTENERS", limits.slots)
        .map_max_entries("FREE_SLOTS", limits.slots)
        .map_max_entries("SLOT_INFO", limits.slots)
        .map_max_entries("TOTALS", limits.slots)
        .map_max_entries("DISTRIBUTIONS", limits.slots)
        .map_max_entries("WORKERS", limits.slots)
        .map_max_entries("PENDING", limits.pending)
        .map_max_entries("WAITING", places)
        .map_max_entries("MET", met_places)
        .map_max_entries("AT_PORT", limits.slots);
    let room = filter.process.as_ref().map_or(1, |_| 1 << 16);
    let ports = if filter.by_owner() { 1 << 16 } else { 1 };
    loader.map_max_entries("WANTED", room).map_max_entries("OWN_PORTS", ports);
    for (global, value) in layout.iter() {
        loader.override_global(global, value, true);
    }
    let filter_port = filter.ports.as_ref().and_then(PortSet::only).map_or(0, u32::from);
    let filter_ports = u32::from(filter.ports.is_some());
    let (mask, met_mask) = (places - 1, met_places - 1);
    let filter_family = u32::from(filter.family.unwrap_or(0));
    let filter_netns = filter.netns.map_or(0, Netns::inode);
    let filter_pid = filter.process.as_ref().map_or(0, |held| held.pid);
    let filter_sockets = u32::from(filter.process.is_some());
    let (cgroup, level) = filter.cgroup.as_ref().map_or((0, 0), |tree| (tree.id, tree.level));
    loader
        .override_global("FILTER_NETNS", &filter_netns, true)
        .override_global("FILTER_PID", &filter_pid, true)
        .override_global("FILTER_SOCKETS", &filter_sockets, true)
        .override_global("FILTER_CGROUP", &cgroup, true)
        .override_global("FILTER_CGROUP_LEVEL", &level, true)
        .override_global("FILTER_PORT", &filter_port, true)
        .override_global("FILTER_PORTS", &filter_ports, true)
        .override_global("FILTER_FAMILY", &filter_family, true)
        .override_global("WAITING_MASK", &mask, true)
        .override_global("MET_MASK", &met_mask, true)
        .override_global("WAKE_BYTES", &WAKE_BYTES, true)
        .override_global("DROP_RECORDS", &limits.drop_records, true)
        .override_global("URGENT_RECORDS", &limits.urgent_records, true);
    let object = offsets::fill(OBJECT, |name| layout.value(name))?;
    loader.load(&object).map_err(|error| explain(error, "creating the maps"))
}

fn take_maps(programs: &mut Ebpf) -> Result<Maps> {
    let mut take = |name: &'static str| {
        programs.take_map(name).ok_or_else(|| anyhow!("the eBPF object has no map {name}"))
    };
    Ok(Maps {
        events: RingBuf::try_from(take("EVENTS")?)?,
        totals: PerCpuArray::try_from(take("TOTALS")?)?,
        info: Table::of(take("SLOT_INFO")?)?,
        pending: HashMap::try_from(take("PENDING")?)?,
        waiting: Table::of(take("WAITING")?)?,
        distributions: Table::of(take("DISTRIBUTIONS")?)?,
        workers: Array::try_from(take("WORKERS")?)?,
        crowded: Array::try_from(take("CROWDED")?)?,
        listeners: HashMap::try_from(take("LISTENERS")?)?,
        free_slots: Queue::try_from(take("FREE_SLOTS")?)?,
        stray: PerCpuArray::try_from(take("STRAY")?)?,
        seed: Array::try_from(take("SEED")?)?,
        wanted: HashMap::try_from(take("WANTED")?)?,
        asked_netns: Array::try_from(take("ASKED_NETNS")?)?,
    })
}

fn fill_ports(programs: &mut Ebpf, ports: &PortSet) -> Result<()> {
    let map = programs.map_mut("PORTS").context("the eBPF object has no map PORTS")?;
    let mut words: Array<&mut MapData, u64> = Array::try_from(map)?;
    let mut bits = BTreeMap::<u32, u64>::new();
    for port in ports.iter() {
        *bits.entry(port_word(port)).or_default() |= port_bit(port);
    }
    for (word, bits) in bits {
        words.set(word, bits, 0).context("filling the port filter")?;
    }
    Ok(())
}

/// Fills the filter of sockets. A socket that finds the map full is not lost: listeners are added
/// later, once they are known.
fn fill_wanted(programs: &mut Ebpf, sockets: impl Iterator<Item = u64>) -> Result<()> {
    let map = programs.map_mut("WANTED").context("the eBPF object has no map WANTED")?;
    let mut wanted: HashMap<&mut MapData, u64, u8> = HashMap::try_from(map)?;
    for inode in sockets {
        if wanted.insert(inode, 1, 0).is_err() {
            break;
        }
    }
    Ok(())
}

/// Before 5.11, eBPF memory counts against this limit. A failure is ignored: the kernel is usually
/// a later one, which does not use the limit.
fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call reads the struct it is given and nothing else.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
