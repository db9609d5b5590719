//! What a program finds in its context, however it was attached.

use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
    RetProbeContext,
};

use crate::kernel::pointers::{KernelPtr, Typed};
use crate::state::values::SavedArgs;

/// The arguments of the function or the tracepoint that a program sits on.
pub(crate) trait Arguments {
    /// The argument at `index`, which counts from zero. A narrow one fills only the
    /// lowest bits.
    fn word(&self, index: usize) -> u64;

    /// How what an argument points to is read.
    type At<T>: KernelPtr<T>;

    /// The same, where it is a pointer.
    fn pointer<T>(&self, index: usize) -> Self::At<T>;

    /// The same as an address, for rare cases.
    #[inline(always)]
    fn address<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }
}

/// The context at the exit of a function.
pub(crate) trait Returned: Arguments {
    /// What it returns.
    fn value(&self) -> u64;

    /// The same, where it is a pointer.
    fn result<T>(&self) -> Self::At<T>;
}

impl Arguments for FEntryContext {
    type At<T> = Typed<T>;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> Typed<T> {
        Typed::new(self.word(index))
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

impl Arguments for ProbeContext {
    type At<T> = *const T;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index).unwrap_or(0)
    }
}

impl Arguments for BtfTracePointContext {
    type At<T> = *const T;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

impl Arguments for RawTracePointContext {
    type At<T> = *const T;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

/// The exit of a function with `COUNT` arguments: its return value follows them.
pub(crate) struct Exit<const COUNT: usize>(pub(crate) FExitContext);

impl<const COUNT: usize> Arguments for Exit<COUNT> {
    type At<T> = Typed<T>;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> Typed<T> {
        Typed::new(self.word(index))
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.0.arg(index)
    }
}

impl<const COUNT: usize> Returned for Exit<COUNT> {
    #[inline(always)]
    fn value(&self) -> u64 {
        self.0.arg(COUNT)
    }

    #[inline(always)]
    fn result<T>(&self) -> Typed<T> {
        Typed::new(self.value())
    }
}

/// The return of a function whose arguments its entry has saved.
pub(crate) struct Return {
    pub(crate) saved: SavedArgs,
    pub(crate) ctx: RetProbeContext,
}

impl Arguments for Return {
    type At<T> = *const T;

    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.saved.word(index)
    }
}

impl Returned for Return {
    #[inline(always)]
    fn value(&self) -> u64 {
        self.ctx.ret()
    }

    #[inline(always)]
    fn result<T>(&self) -> *const T {
        self.value() as *const T
    }
}
