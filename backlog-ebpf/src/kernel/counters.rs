//! The kernel's own verdict: the change of this CPU's SNMP counters between the
//! entry and the exit of a function.
//!
//! The three functions run with bottom halves off, do not sleep and do not nest
//! in themselves, so no foreign increment comes between (kernel.md, section 0;
//! measured equal to `/proc/net/netstat` on 5.10 to 7.3).
//!
//! A counter is `net->mib.net_statistics`, a per-CPU pointer, plus this CPU's
//! offset, plus its index. The offset is found without a symbol: it is the
//! distance between this CPU's element of a per-CPU array and the per-CPU
//! pointer that the map keeps of it.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use super::{
    globals::{BPF_ARRAY_PPTRS, NET_STATISTICS, SKC_NET},
    maps::{SCRATCH, SCRATCH_BASE},
    read,
    types::{Net, Sock},
};
use aya_ebpf::Global;

/// Bytes of `struct bpf_array` that are looked at to find `pptrs`.
const MAP_BYTES: usize = 512;

/// A function whose entry and exit are compared.
#[derive(Clone, Copy)]
pub(crate) enum Site {
    /// `tcp_conn_request`
    Syn = 0,
    /// `tcp_check_req`
    Ack = 1,
    /// `tcp_get_cookie_sock`
    Cookie = 2,
}

/// The counters that are compared; not every site reads every one.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Counts {
    /// `ListenDrops`
    pub(crate) drops: u64,
    /// `ListenOverflows`
    pub(crate) overflows: u64,
    /// `TCPReqQFullDrop` at `Syn`, `EmbryonicRsts` at `Ack`
    pub(crate) third: u64,
    /// `SyncookiesSent` at `Syn`
    pub(crate) fourth: u64,
}

/// What a CPU notes at the entry of one function.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    /// The socket that it was entered with; zero: not inside.
    sk: u64,
    counts: Counts,
}

/// One CPU's notes.
#[repr(C)]
pub(crate) struct Scratch {
    /// The address of this element.
    here: u64,
    entries: [Entry; 3],
    /// A copy of the map's own `struct bpf_array`, made once.
    map: [u8; MAP_BYTES],
}

/// This CPU's counters of one network namespace.
pub(crate) struct Mib(u64);

impl Mib {
    /// One counter, now.
    #[inline(always)]
    pub(crate) fn get(&self, index: &Global<u32>) -> u64 {
        read::at(self.0 as *const u64, 8 * index.load() as usize)
    }
}

/// Notes the entry of a function, and what `counts` reads there.
#[inline(always)]
pub(crate) fn enter(site: Site, sk: *const Sock, counts: impl FnOnce(&Mib) -> Counts) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let Some(mib) = mib(scratch, sk) else { return };
    let entry = Entry { sk: sk as u64, counts: counts(&mib) };
    // SAFETY: a per-CPU element; the hooked functions run with bottom halves off.
    unsafe { (*scratch).entries[site as usize] = entry };
}

/// Ends what [`enter`] began: the counters of then, and the way to those of now.
/// None if the entry was not seen, as when the programs were attached in between.
#[inline(always)]
pub(crate) fn leave(site: Site, sk: *const Sock) -> Option<(Counts, Mib)> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: as in `enter`.
    let entry = unsafe { &mut (*scratch).entries[site as usize] };
    if entry.sk != sk as u64 {
        return None;
    }
    entry.sk = 0;
    let before = entry.counts;
    mib(scratch, sk).map(|mib| (before, mib))
}

/// Is this CPU inside the function, for this socket?
#[inline(always)]
pub(crate) fn inside(site: Site, sk: *const Sock) -> bool {
    match SCRATCH.get_ptr_mut(0) {
        // SAFETY: as in `enter`.
        Some(scratch) => unsafe { (*scratch).entries[site as usize].sk == sk as u64 },
        None => false,
    }
}

#[inline(always)]
fn mib(scratch: *mut Scratch, sk: *const Sock) -> Option<Mib> {
    let base = base(scratch)?;
    // SAFETY: a per-CPU element. Written and read back through memory, the
    // address becomes a plain number that the verifier lets us calculate with.
    let here = unsafe {
        let here = &raw mut (*scratch).here;
        here.write_volatile(scratch as u64);
        here.read_volatile()
    };
    let net: *const Net = read::pointer(sk, &SKC_NET);
    let statistics: u64 = read::field(net, &NET_STATISTICS);
    Some(Mib(statistics.wrapping_add(here.wrapping_sub(base))))
}

/// The per-CPU pointer of the scratch map's element, from the map's own struct.
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
            (&raw mut (*scratch).map).cast(),
            MAP_BYTES as u32,
            (&raw const SCRATCH).cast(),
        )
    } != 0;
    if failed {
        return None;
    }
    // SAFETY: `offset` was checked to leave eight bytes; they may be unaligned
    // only in theory, and the verifier checks it.
    let base = unsafe { (&raw const (*scratch).map).cast::<u8>().add(offset).cast::<u64>().read() };
    // SAFETY: as above.
    unsafe { *known = base };
    (base != 0).then_some(base)
}
