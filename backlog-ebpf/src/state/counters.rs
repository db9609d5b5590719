//! This CPU's SNMP counters of a network namespace: their change between the entry and the exit of
//! a function is the kernel's own verdict.
//!
//! The compared functions run with bottom halves off, do not sleep and do not recurse, so nothing
//! else increments the counters in between (measured equal to `/proc/net/netstat` on 5.10 to 7.3).
//!
//! A counter is at `net->mib.net_statistics`, a per-CPU pointer, plus this CPU's offset, plus its
//! index. No symbol is needed for the offset: it is the distance between this CPU's element of a
//! per-CPU array and the per-CPU pointer that the map stores.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use super::{
    maps::{SCRATCH, SCRATCH_BASE},
    values::{MAP_BYTES, Scratch},
};
use crate::kernel::{
    globals::{BPF_ARRAY_PPTRS, Field, NET_STATISTICS, SKC_NET, TCP_STATISTICS},
    read,
    types::{Net, Sock},
};

/// This CPU's counters of one network namespace.
pub(crate) struct Mib {
    net: *const Net,
    /// The distance from a per-CPU pointer to this CPU's memory.
    offset: u64,
    /// The address of this CPU's Linux counters.
    statistics: u64,
}

impl Mib {
    /// The namespace of the counters.
    #[inline(always)]
    pub(crate) fn net(&self) -> *const Net {
        self.net
    }

    /// The current value of a Linux counter (`TcpExt` of `/proc/net/netstat`).
    #[inline(always)]
    pub(crate) fn get(&self, index: &impl Field) -> u64 {
        read::at(self.address_of(index) as *const u64, 0)
    }

    /// The address of a Linux counter.
    #[inline(always)]
    pub(crate) fn address_of(&self, index: &impl Field) -> u64 {
        self.statistics.wrapping_add(8 * index.offset() as u64)
    }

    /// The current value of a TCP counter (`Tcp` of `/proc/net/snmp`).
    #[inline(always)]
    pub(crate) fn tcp(&self, index: &impl Field) -> u64 {
        let statistics: u64 = read::field(self.net, &TCP_STATISTICS);
        let here = statistics.wrapping_add(self.offset);
        read::at(here as *const u64, 8 * index.offset())
    }
}

/// The counters of a socket's namespace.
#[inline(always)]
pub(crate) fn of_socket(scratch: *mut Scratch, sk: *const Sock) -> Option<Mib> {
    with_base(scratch, read::pointer(sk, &SKC_NET))
}

/// The counters of a namespace.
#[inline(always)]
pub(crate) fn of_namespace(net: *const Net) -> Option<Mib> {
    with_base(SCRATCH.get_ptr_mut(0)?, net)
}

#[inline(always)]
fn with_base(scratch: *mut Scratch, net: *const Net) -> Option<Mib> {
    let base = base(scratch)?;
    // SAFETY: a per-CPU element. Written to memory and read back, the address becomes a plain
    // number, on which the verifier permits arithmetic.
    let here = unsafe {
        let here = &raw mut (*scratch).base.here;
        here.write_volatile(scratch as u64);
        here.read_volatile()
    };
    let offset = here.wrapping_sub(base);
    let statistics = read::field::<_, u64>(net, &NET_STATISTICS).wrapping_add(offset);
    Some(Mib { net, offset, statistics })
}

/// The per-CPU pointer of the scratch map's element, read from the map's own struct.
#[inline(always)]
fn base(scratch: *mut Scratch) -> Option<u64> {
    let known = SCRATCH_BASE.get_ptr_mut(0)?;
    // SAFETY: an element of an array map; every writer writes the same value.
    let base = unsafe { *known };
    if base != 0 {
        return Some(base);
    }
    let offset = BPF_ARRAY_PPTRS.load() as usize;
    if offset > MAP_BYTES - 8 {
        return None;
    }
    // SAFETY: the helper checks the source; the destination is map memory of the
    // size given. A map's address is the address of its kernel struct.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut (*scratch).base.map).cast(),
            MAP_BYTES as u32,
            (&raw const SCRATCH).cast(),
        )
    } != 0;
    if failed {
        return None;
    }
    // SAFETY: `offset` was checked to leave eight bytes; they may be unaligned
    // only in theory, and the verifier checks it.
    let base =
        unsafe { (&raw const (*scratch).base.map).cast::<u8>().add(offset).cast::<u64>().read() };
    // SAFETY: as above.
    unsafe { *known = base };
    (base != 0).then_some(base)
}
