//! Numbers that all CPUs and userspace share, in the data sections of the object: a program reads
//! them with a plain load, while an element of an array costs seven instructions.

use core::{arch::asm, cell::UnsafeCell};

/// A number.
#[repr(transparent)]
pub(crate) struct Shared(UnsafeCell<u32>);

// SAFETY: it is read and written as a whole, by single instructions.
unsafe impl Sync for Shared {}

impl Shared {
    /// Its value.
    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        // SAFETY: memory of this object.
        unsafe { self.0.get().read_volatile() }
    }

    /// Sets the value. If two CPUs do so at the same time, either value may stay.
    #[inline(always)]
    pub(crate) fn set(&self, value: u32) {
        // SAFETY: as in `get`.
        unsafe { self.0.get().write_volatile(value) };
    }

    /// Adds one, safe against concurrent additions.
    #[inline(always)]
    pub(crate) fn count(&self) {
        // SAFETY: as in `get`.
        unsafe { count(self.0.get()) };
    }
}

/// The running epoch of the interval peaks, which userspace increments. Zero: the programs must do
/// nothing.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss")]
pub(crate) static EPOCH: Shared = Shared(UnsafeCell::new(0));

/// Counts listeners that opened or closed: entries of the listener cache are valid for one
/// generation.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
pub(crate) static GENERATION: Shared = Shared(UnsafeCell::new(1));

/// When a listener last refused a client, in units of 2^30 ns; zero: never.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
pub(crate) static REFUSED: Shared = Shared(UnsafeCell::new(0));

/// Adds one to a count that other CPUs may add to at the same time.
///
/// # Safety
///
/// `place` must be one that the program may write to.
#[inline(always)]
pub(crate) unsafe fn count(place: *mut u32) {
    // SAFETY: `lock *(u32 *)(r1 + 0) += r2` (BPF_XADD, in every kernel), in bytes because the
    // compiler cannot express it.
    unsafe {
        asm!(
            ".byte 0xc3, 0x21, 0, 0, 0, 0, 0, 0",
            in("r1") place,
            in("r2") 1_u64,
            options(nostack, preserves_flags),
        );
    }
}

/// Whether the run has started and not ended. The programs are attached and detached one after the
/// other; in between they must not record a part of what happens.
#[inline(always)]
pub(crate) fn running() -> bool {
    EPOCH.get() != 0
}
