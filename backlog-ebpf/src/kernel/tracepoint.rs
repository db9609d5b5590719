//! What tracepoints tell where functions cannot be hooked. A connection is born at
//! [`birth`], leaves at [`accepted`] or [`destroyed`]; a packet that a listener refused is
//! looked at when it is freed ([`packet`]). [`state`] says which is which.
//!
//! The kernel skips a program that is already running on the CPU, as when a packet
//! interrupts a process at the same tracepoint. So there are two of those that matter,
//! and whichever comes second for an event finds nothing left to do ([`Twin`]).

pub(crate) mod accepted;
mod birth;
pub(crate) mod destroyed;
pub(crate) mod failed;
pub(crate) mod packet;
mod ports;
pub(crate) mod queued;
pub(crate) mod state;
mod verdict;

pub(crate) use birth::Birth;
pub(crate) use ports::{Member, Place};

/// One of the two programs on a tracepoint.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Twin {
    /// The one with types (`tp_btf`).
    Typed = 1,
    /// The one without (`raw_tp`).
    Raw = 2,
}

impl Twin {
    #[inline(always)]
    fn other(self) -> u32 {
        match self {
            Self::Typed => Self::Raw as u32,
            Self::Raw => Self::Typed as u32,
        }
    }
}
