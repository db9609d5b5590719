//! The kernel's table of queued connections, as memory that is shared with the programs.

use std::os::fd::AsFd as _;
use std::ptr::{NonNull, null_mut};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData};
use backlog_ebpf::pending::Waiting;

/// See the module's head.
pub(crate) struct Table {
    /// Keeps the map alive.
    _map: MapData,
    places: NonNull<Waiting>,
    count: usize,
}

// SAFETY: the memory belongs to the table, and is only read, place by place.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Maps it.
    pub(crate) fn of(map: Map) -> Result<Self> {
        let Map::Array(map) = map else { bail!("the table of connections is no array") };
        let count = map.info().context("asking for the size of the table")?.max_entries() as usize;
        let length = count * size_of::<Waiting>();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&map.fd().as_fd());
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, descriptor, 0)
        };
        if address == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(error).context("mapping the table of connections");
        }
        let places = NonNull::new(address.cast()).context("the table is mapped at zero")?;
        Ok(Self { _map: map, places, count })
    }

    /// Every place that is used.
    pub(crate) fn used(&self) -> impl Iterator<Item = Waiting> + '_ {
        (0..self.count)
            // SAFETY: within the mapping, which lives as long as the table. A place that is
            // being written may be read in halves: it is looked at when nothing runs.
            .map(|place| unsafe { self.places.add(place).read_volatile() })
            .filter(|waiting| waiting.child != 0 || waiting.early != 0)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let length = self.count * size_of::<Waiting>();
        // SAFETY: mapped with this length in `of`, and unmapped once.
        unsafe { libc::munmap(self.places.as_ptr().cast(), length) };
    }
}
