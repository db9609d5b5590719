//! Numbers that all CPUs and userspace share, in the data sections of the object: a program
//! reads them with a plain load, where an element of an array costs seven instructions.

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
        // SAFETY: memory of the object's own.
        unsafe { self.0.get().read_volatile() }
    }

    /// Sets it. If two CPUs do at the same time, either value may stay.
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

/// The running epoch of the interval peaks; userspace counts it up. Zero: the programs are to
/// do nothing.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss")]
pub(crate) static EPOCH: Shared = Shared(UnsafeCell::new(0));

/// Listeners that have gone or come, and so how long a note of one holds.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
pub(crate) static GENERATION: Shared = Shared(UnsafeCell::new(1));

/// When a listener last refused a client, in units of 2^30 ns; zero: none has.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
pub(crate) static REFUSED: Shared = Shared(UnsafeCell::new(0));

/// Adds one to a count that other CPUs may add to at the same moment.
///
/// # Safety
///
/// `place` must be one that the program may write to.
#[inline(always)]
pub(crate) unsafe fn count(place: *mut u32) {
    // SAFETY: `lock *(u32 *)(r1 + 0) += r2` (BPF_XADD, in every kernel), in bytes since the
    // compiler has no way to say it.
    unsafe {
        asm!(
            ".byte 0xc3, 0x21, 0, 0, 0, 0, 0, 0",
            in("r1") place,
            in("r2") 1_u64,
            options(nostack, preserves_flags),
        );
    }
}

/// Has userspace begun, and not ended? The programs are attached one after the
/// other and taken off likewise; in between they must not see half of what happens.
#[inline(always)]
pub(crate) fn running() -> bool {
    EPOCH.get() != 0
}
