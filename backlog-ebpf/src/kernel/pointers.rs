//! Reads of kernel memory: at an address, by a helper that survives any content, or at a pointer
//! whose type the verifier knows, by a plain load.
//!
//! A load costs one instruction, the helper about fifty, and the kernel's fault table makes the
//! load just as safe. The verifier knows the arguments of fentry and fexit, and what they point to;
//! offsets are constants to it, since they come from frozen memory (`globals`). It does not know
//! the type of an address stored in a map.

use core::arch::asm;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock};

use super::globals::Field;

/// A pointer to kernel memory of type `B`.
pub(crate) trait KernelPtr<B>: Copy {
    /// The type of a pointer read from it.
    type To<U>: KernelPtr<U>;

    /// The value of type `T` at `offset` bytes from the pointer.
    fn at<T: Copy + Default>(self, offset: usize) -> T;

    /// A field.
    fn field<T: Copy + Default>(self, field: &impl Field) -> T;

    /// A field that is a pointer; null if it cannot be read.
    fn pointer<U>(self, field: &impl Field) -> Self::To<U>;

    /// The address as a plain number.
    fn address(self) -> *const B;

    /// The same pointer as a `tcp_sock`: the type of an argument covers only `struct sock`. None if
    /// it is not a TCP socket.
    fn as_tcp_sock(self) -> Option<Self>;
}

impl<B> KernelPtr<B> for *const B {
    type To<U> = *const U;

    #[inline(always)]
    fn at<T: Copy + Default>(self, offset: usize) -> T {
        let mut value = T::default();
        // SAFETY: the helper checks the source itself, the destination is a local of the size
        // given. The result need not be checked (and a branch for it would double the verifier's
        // paths): on a fault the helper fills in zeros.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<T>() as u32,
                self.wrapping_byte_add(offset).cast(),
            );
        }
        value
    }

    #[inline(always)]
    fn field<T: Copy + Default>(self, field: &impl Field) -> T {
        self.at(field.offset())
    }

    #[inline(always)]
    fn pointer<U>(self, field: &impl Field) -> *const U {
        self.at::<u64>(field.offset()) as *const U
    }

    #[inline(always)]
    fn address(self) -> *const B {
        self
    }

    #[inline(always)]
    fn as_tcp_sock(self) -> Option<Self> {
        Some(self)
    }
}

/// An argument of the function that a program is attached to, or a pointer read through one.
#[repr(transparent)]
pub(crate) struct Typed<B>(*const B);

impl<B> Clone for Typed<B> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Typed<B> {}

impl<B> Typed<B> {
    /// From a word of a context whose types the verifier knows.
    #[inline(always)]
    pub(crate) fn new(word: u64) -> Self {
        Self(word as *const B)
    }
}

impl<B> KernelPtr<B> for Typed<B> {
    type To<U> = Typed<U>;

    #[inline(always)]
    fn at<T: Copy + Default>(self, offset: usize) -> T {
        // SAFETY: the verifier has checked that this type has such a field there; a load
        // that faults gives zero.
        unsafe { self.0.wrapping_byte_add(offset).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn field<T: Copy + Default>(self, field: &impl Field) -> T {
        if size_of::<T>() > size_of::<u64>() {
            return self.at(field.offset());
        }
        let value = load(self.0, size_of::<T>(), field);
        // SAFETY: `T` is at most as long as the loaded value, and is in its lowest bytes.
        unsafe { (&raw const value).cast::<T>().read_unaligned() }
    }

    #[inline(always)]
    fn pointer<U>(self, field: &impl Field) -> Typed<U> {
        Typed(load(self.0, size_of::<u64>(), field) as *const U)
    }

    #[inline(always)]
    fn address(self) -> *const B {
        self.0
    }

    #[inline(always)]
    fn as_tcp_sock(self) -> Option<Self> {
        // SAFETY: the helper checks the socket itself, and returns null if it is not a TCP socket.
        let whole = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) } as *const B;
        if whole.is_null() { None } else { Some(Self(whole)) }
    }
}

/// Loads a field of this size, by an instruction whose offset the loader replaces.
#[inline(always)]
fn load<B, F: Field>(base: *const B, bytes: usize, _: &F) -> u64 {
    let value: u64;
    macro_rules! load {
        ($width:literal) => {
            asm!(
                concat!("{value} = *(", $width, " *)({base} + {at})"),
                value = lateout(reg) value,
                base = in(reg) base,
                at = const F::STANDS,
                options(pure, readonly, nostack, preserves_flags),
            )
        };
    }
    // SAFETY: the verifier checks that this type has such a field there; a load that faults
    // gives zero.
    unsafe {
        match bytes {
            1 => load!("u8"),
            2 => load!("u16"),
            4 => load!("u32"),
            _ => load!("u64"),
        }
    }
    value
}

/// Hashes an address for a place in a table. Sockets are at least 64 bytes apart.
#[inline(always)]
pub(crate) fn spread<B>(address: *const B) -> u32 {
    /// 2^32 divided by the golden ratio.
    const SPREAD: u32 = 0x9e37_79b1;

    (low(address) >> 6).wrapping_mul(SPREAD) >> 8
}

/// The lower half of an address, as a plain number: the verifier forbids arithmetic on a typed
/// pointer, but treats half of it as a number.
#[inline(always)]
fn low<B>(address: *const B) -> u32 {
    let low: u64;
    // SAFETY: `w0 = w1`, which touches nothing else. It is written in bytes because inline assembly
    // has no names for halves of registers.
    unsafe {
        asm!(
            ".byte 0xbc, 0x10, 0, 0, 0, 0, 0, 0",
            in("r1") address,
            lateout("r0") low,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    low as u32
}
