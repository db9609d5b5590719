//! The ABI between the eBPF programs and userspace: ring records, per-listener totals, and the
//! constants that both halves must agree on.
//!
//! No dependencies and no `std`: the eBPF programs and `backlog-trace` compile this same source, so
//! there is only one definition. Records hold only integers and byte arrays: every bit pattern is a
//! valid value.
#![no_std]

pub mod accepts;
pub mod attempt;
pub mod cause;
pub mod counter;
pub mod crowd;
pub mod distribution;
pub mod field;
pub mod filter;
pub mod pace;
pub mod pending;
pub mod record;
pub mod totals;

/// The value of an offset or index that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// `AF_INET` as the kernel stores it in `skc_family`.
pub const AF_INET: u16 = 2;

/// `AF_INET6` as the kernel stores it in `skc_family`.
pub const AF_INET6: u16 = 10;
