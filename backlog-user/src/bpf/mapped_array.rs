//! An array map that is mapped into memory: it can be read without a system call.

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr::{NonNull, null_mut};

use anyhow::{Context as _, Result, bail};
use aya::Pod;
use aya::maps::{Map, MapData};

/// See the module documentation.
pub(crate) struct Table<T> {
    /// Keeps the map alive.
    _map: MapData,
    memory: NonNull<u8>,
    /// Distance between two elements in bytes.
    stride: usize,
    count: u32,
    elements: PhantomData<T>,
}

// SAFETY: the memory belongs to the table, and is only read, element by element.
unsafe impl<T> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Table<T> {}

impl<T: Pod> Table<T> {
    /// Maps the array.
    pub(crate) fn of(map: Map) -> Result<Self> {
        let Map::Array(map) = map else { bail!("a map of the programs is not an array") };
        let info = map.info().context("reading the size of a map")?;
        if info.value_size() as usize != size_of::<T>() {
            bail!("the elements of a map have {} bytes, not {}", info.value_size(), size_of::<T>());
        }
        // The kernel aligns array elements to eight bytes.
        let stride = size_of::<T>().next_multiple_of(8);
        let count = info.max_entries();
        let descriptor = map.fd().as_fd().as_raw_fd();
        let length = stride * count as usize;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, descriptor, 0)
        };
        if address == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(error).context("mapping an array of the programs into memory");
        }
        let memory = NonNull::new(address.cast()).context("an array is mapped at address zero")?;
        Ok(Self { _map: map, memory, stride, count, elements: PhantomData })
    }

    /// A copy of an element, which may be torn if a program is writing it.
    pub(crate) fn get(&self, index: u32) -> Option<T> {
        let offset = self.stride * index as usize;
        // SAFETY: within the mapping, which lives as long as the table; any bytes are a `T`.
        (index < self.count).then(|| unsafe { self.memory.add(offset).cast::<T>().read_volatile() })
    }

    /// The part of an element at this offset; the rest is not copied.
    pub(crate) fn part<P: Pod>(&self, index: u32, offset: usize) -> Option<P> {
        if index >= self.count || offset + size_of::<P>() > size_of::<T>() {
            return None;
        }
        let place = self.stride * index as usize + offset;
        // SAFETY: within an element, which is within the mapping; any bytes are a `P`, and a part
        // has its alignment in its element.
        Some(unsafe { self.memory.add(place).cast::<P>().read_volatile() })
    }

    /// The number of elements.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Copies of all elements.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.count).filter_map(|index| self.get(index))
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        let length = self.stride * self.count as usize;
        // SAFETY: mapped with this length in `of`, and unmapped once.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), length) };
    }
}
