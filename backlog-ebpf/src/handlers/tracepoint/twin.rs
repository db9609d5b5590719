//! The two programs that are attached to one tracepoint, because the kernel may skip one of them.

/// One of the two programs on a tracepoint.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Twin {
    /// The typed one (`tp_btf`).
    Typed = 1,
    /// The untyped one (`raw_tp`).
    Raw = 2,
}

impl Twin {
    #[inline(always)]
    pub(super) fn other(self) -> u32 {
        match self {
            Self::Typed => Self::Raw as u32,
            Self::Raw => Self::Typed as u32,
        }
    }
}
