//! What tracepoints show where functions cannot be hooked. A connection is born at
//! [`birth`], leaves at [`accepted`] or [`destroyed`]; a packet that a listener refused is
//! looked at when it is freed ([`freed`]). [`state`] says which is which.
//!
//! The kernel skips a program that is already running on the CPU, as when a packet
//! interrupts a process at the same tracepoint. So there are two of those that matter,
//! and whichever comes second for an event finds nothing left to do ([`twin`]).

pub(crate) mod accepted;
mod birth;
mod classify;
pub(crate) mod destroyed;
pub(crate) mod failed;
pub(crate) mod freed;
mod packet;
mod ports;
pub(crate) mod queued;
pub(crate) mod state;
pub(crate) mod twin;
