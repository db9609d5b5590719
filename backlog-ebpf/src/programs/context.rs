//! The arguments and return values in the context of a program, for every attach type.

use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
    RetProbeContext,
};

use crate::kernel::pointers::{KernelPtr, Typed};
use crate::state::values::SavedArgs;

/// The arguments of the function or tracepoint that a program is attached to.
pub(crate) trait Arguments {
    /// The argument at `index`, counted from zero. A narrow one fills only the lowest bits.
    fn word(&self, index: usize) -> u64;

    /// The type of pointer through which the target of an argument is read.
    type At<T>: KernelPtr<T>;

    /// The argument as a pointer.
    fn pointer<T>(&self, index: usize) -> Self::At<T>;

    /// The argument as a plain address, for rare cases.
    #[inline(always)]
    fn address<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }
}

/// The context at the exit of a function.
pub(crate) trait Returned: Arguments {
    /// The return value.
    fn value(&self) -> u64;

    /// The return value as a pointer.
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

/// The return of a function whose entry has saved its arguments.
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
