//! What a program finds in its context, however it was attached.

use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RawTracePointContext,
    RetProbeContext,
};

use crate::kernel::call::Saved;

/// The arguments of the function or the tracepoint that a program sits on.
pub(crate) trait Arguments {
    /// The argument at `index`, which counts from zero. A narrow one fills only the
    /// lowest bits.
    fn word(&self, index: usize) -> u64;

    /// The same, where it is a pointer.
    #[inline(always)]
    fn pointer<T>(&self, index: usize) -> *const T {
        self.word(index) as *const T
    }
}

/// What is known at the exit of a function.
pub(crate) trait Returned: Arguments {
    /// What it returns.
    fn value(&self) -> u64;
}

impl Arguments for FEntryContext {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

impl Arguments for ProbeContext {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index).unwrap_or(0)
    }
}

impl Arguments for BtfTracePointContext {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

impl Arguments for RawTracePointContext {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.arg(index)
    }
}

/// The exit of a function of `COUNT` arguments: what it returns stands behind them.
pub(crate) struct Exit<const COUNT: usize>(pub(crate) FExitContext);

impl<const COUNT: usize> Arguments for Exit<COUNT> {
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
}

/// The return of a function whose arguments its entry has saved.
pub(crate) struct Return {
    pub(crate) saved: Saved,
    pub(crate) ctx: RetProbeContext,
}

impl Arguments for Return {
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
}
