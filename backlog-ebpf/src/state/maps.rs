//! All maps, with the sizes that they have unless the loader changes them. The names are the
//! contract with `backlog-user/src/bpf/load.rs`.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, Queue, RingBuf},
    macros::btf_map,
};
use backlog_ebpf::{
    accepts::{FAILURES, Failure, FailureKey, Workers},
    attempt::{self, Attempt},
    distribution::Distributions,
    filter::PORT_WORDS,
    pending::{Pending, Waiting},
    record::{Header, Listener},
    totals::{Stray, Totals},
};

use super::values::{
    CachedListener, MibSnapshot, PortMember, PortSlot, SavedArgs, Scratch, SleepingCall, TracedCall,
};

/// How many listeners can be tracked at once.
pub(crate) const SLOTS: usize = 1024;

/// Records on their way to userspace.
#[btf_map]
pub(crate) static EVENTS: RingBuf<Header, { 4 << 20 }> = RingBuf::new();

/// From a listening socket's address to its slot.
#[btf_map]
pub(crate) static LISTENERS: HashMap<u64, u32, SLOTS> = HashMap::new();

/// The same for this CPU's most recent listeners, direct-mapped by address.
#[btf_map]
pub(crate) static MET: PerCpuArray<CachedListener, SLOTS> = PerCpuArray::new();

/// From the address of a recently closed listener to the slot that it had: packets on other CPUs
/// may have found the listener before it closed.
#[btf_map]
pub(crate) static CLOSED: LruHashMap<u64, u32, SLOTS> = LruHashMap::new();

/// Free slots; userspace fills it, and returns the slots of closed listeners.
#[btf_map]
pub(crate) static FREE_SLOTS: Queue<u32, SLOTS> = Queue::new();

/// By slot: the identity and state of the listener. Userspace maps it.
#[btf_map]
pub(crate) static SLOT_INFO: Array<Listener, SLOTS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// By slot: the counts of this CPU.
#[btf_map]
pub(crate) static TOTALS: PerCpuArray<Totals, SLOTS> = PerCpuArray::new();

/// By slot: the distributions of waits and depths. Userspace maps it.
#[btf_map]
pub(crate) static DISTRIBUTIONS: Array<Distributions, SLOTS, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// By slot: the threads that accept.
#[btf_map]
pub(crate) static WORKERS: Array<Workers, SLOTS> = Array::new();

/// Failed calls of accept(), while a program for them is attached.
#[btf_map]
pub(crate) static FAILED: HashMap<FailureKey, Failure, FAILURES> = HashMap::new();

/// The number of failed calls that found no room there.
#[btf_map]
pub(crate) static FAILED_OTHER: Array<u32, 1> = Array::new();

/// From the address of a queued connection to when and where it was queued.
#[btf_map]
pub(crate) static PENDING: HashMap<u64, Pending, 65_536> = HashMap::new();

/// The same as a table, at a tenth of the cost: each address has one place, and the map above holds
/// the connections whose place is taken. Userspace maps it.
#[btf_map]
pub(crate) static WAITING: Array<Waiting, 65_536, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Refused attempts that may be retried.
#[btf_map]
pub(crate) static ATTEMPTS: Array<Attempt, { attempt::ATTEMPTS }> = Array::new();

/// 1: the map of queued connections may hold some whose place in the table was taken.
#[btf_map]
pub(crate) static CROWDED: Array<u32, 1> = Array::new();

/// The ports to trace, one bit each.
#[btf_map]
pub(crate) static PORTS: Array<u64, PORT_WORDS> = Array::new();

/// By port: 1 if a traced listener has listened there. Only filters by owner use it.
#[btf_map]
pub(crate) static OWN_PORTS: Array<u8, 65_536> = Array::new();

/// Distinguishes the network namespace of the filter from later ones with its inode number; zero:
/// unknown. Written before the programs start.
#[btf_map]
pub(crate) static ASKED_NETNS: Array<u32, 1> = Array::new();

/// The sockets to trace, by inode number, if the filter names a process.
#[btf_map]
pub(crate) static WANTED: HashMap<u64, u8, 65_536> = HashMap::new();

/// Counts that belong to no listener.
#[btf_map]
pub(crate) static STRAY: PerCpuArray<Stray, 1> = PerCpuArray::new();

/// What this CPU keeps between the entry and the exit of a function.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// The per-CPU pointer of `SCRATCH`'s only element, once known.
#[btf_map]
pub(crate) static SCRATCH_BASE: Array<u64, 1> = Array::new();

/// The arguments of calls that have not returned on this CPU, by [`TracedCall`].
#[btf_map]
pub(crate) static CALLS: PerCpuArray<SavedArgs, { TracedCall::COUNT }> = PerCpuArray::new();

/// The arguments of calls that may sleep and have not returned, by thread.
#[btf_map]
pub(crate) static CALLERS: LruHashMap<SleepingCall, SavedArgs, 1024> = LruHashMap::new();

/// The listeners of a port and namespace, numbered without gaps. Only tracepoints use it.
#[btf_map]
pub(crate) static AT_PORT: HashMap<PortSlot, PortMember, SLOTS> = HashMap::new();

/// By port: 1 if a socket has listened there, in any namespace.
#[btf_map]
pub(crate) static LISTENED: Array<u8, 65_536> = Array::new();

/// By network namespace: this CPU's counters at the last snapshot.
#[btf_map]
pub(crate) static LOOKS: PerCpuHashMap<u64, MibSnapshot, 4096> = PerCpuHashMap::new();

/// The number of the newest node in sysfs when the run started; zero: unknown.
#[btf_map]
pub(crate) static NEWEST: Array<u64, 1> = Array::new();

/// Maps a listener's address to the position in its queue where the next run of the iterator
/// continues.
#[btf_map]
pub(crate) static CURSORS: HashMap<u64, u64, SLOTS> = HashMap::new();

/// What the iterator over queues is to do: one of `SEED_…`.
#[btf_map]
pub(crate) static SEED: Array<u32, 1> = Array::new();
