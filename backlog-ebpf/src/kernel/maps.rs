//! Every map, with the sizes it has unless the loader says otherwise. The names
//! are the contract with `backlog-user/src/load.rs`.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf},
    macros::btf_map,
};
use backlog_ebpf::{
    filter::PORT_WORDS,
    pending::Pending,
    record::{Header, Listener},
    totals::{Stray, Totals},
};

use super::site::Scratch;

/// How many listeners can be told apart at once.
pub(crate) const SLOTS: usize = 1024;

/// Records on their way to userspace.
#[btf_map]
pub(crate) static EVENTS: RingBuf<Header, { 4 << 20 }> = RingBuf::new();

/// From a listening socket's address to its slot.
#[btf_map]
pub(crate) static LISTENERS: HashMap<u64, u32, SLOTS> = HashMap::new();

/// From the address of a listener that has just closed to the slot that it had: packets
/// on other CPUs may have found it before.
#[btf_map]
pub(crate) static CLOSED: LruHashMap<u64, u32, SLOTS> = LruHashMap::new();

/// Slots that no listener has; userspace fills it and gives closed ones back.
#[btf_map]
pub(crate) static FREE_SLOTS: Queue<u32, SLOTS> = Queue::new();

/// By slot: who the listener is.
#[btf_map]
pub(crate) static SLOT_INFO: Array<Listener, SLOTS> = Array::new();

/// By slot: what this CPU counted.
#[btf_map]
pub(crate) static TOTALS: PerCpuArray<Totals, SLOTS> = PerCpuArray::new();

/// From the address of a connection in an accept queue to when and where it was added.
#[btf_map]
pub(crate) static PENDING: HashMap<u64, Pending, 65_536> = HashMap::new();

/// The ports to look at, one bit each.
#[btf_map]
pub(crate) static PORTS: Array<u64, PORT_WORDS> = Array::new();

/// The running epoch of the interval peaks; userspace counts it up. Zero: the
/// programs are to do nothing.
#[btf_map]
pub(crate) static EPOCH: Array<u32, 1> = Array::new();

/// What belongs to no listener.
#[btf_map]
pub(crate) static STRAY: PerCpuArray<Stray, 1> = PerCpuArray::new();

/// This CPU's notes between the entry and the exit of a function.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// The per-CPU pointer of `SCRATCH`'s only element, once known.
#[btf_map]
pub(crate) static SCRATCH_BASE: Array<u64, 1> = Array::new();
