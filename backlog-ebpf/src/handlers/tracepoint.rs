//! Handlers for kernels whose functions cannot be hooked. A connection appears at [`birth`] and
//! leaves at [`accepted`] or [`destroyed`]; a refused packet is examined when it is freed
//! ([`freed`]). [`state`] distinguishes them.
//!
//! The kernel skips a program that is already running on the CPU, for example when a packet
//! interrupts a process at the same tracepoint. So the important ones are attached twice, and the
//! second to run for an event skips it ([`twin`]).

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
