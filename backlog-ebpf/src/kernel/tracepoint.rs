//! What tracepoints tell where functions cannot be hooked. A connection is born at
//! [`birth`], leaves at [`accepted`] or [`destroyed`]; a packet that a listener refused is
//! looked at when it is freed ([`packet`]). [`state`] says which is which.

pub(crate) mod accepted;
mod birth;
mod delta;
pub(crate) mod destroyed;
mod join;
pub(crate) mod packet;
mod ports;
pub(crate) mod queued;
pub(crate) mod ready;
pub(crate) mod state;
mod verdict;

pub(crate) use birth::Birth;
pub(crate) use delta::Look;
pub(crate) use ports::{Member, Place};
