//! What crosses from the kernel to userspace: ring records, per-listener
//! totals, and the constants that both halves must agree on.
//!
//! No dependencies and no `std`: the eBPF programs and `backlog-trace` compile
//! this same source, so there is no second definition to keep in step. Records
//! hold integers and byte arrays only: every bit pattern is a valid value.
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

/// In an offset or index global: this kernel does not have the field.
pub const ABSENT: u32 = u32::MAX;

/// `AF_INET` as the kernel stores it in `skc_family`.
pub const AF_INET: u16 = 2;

/// `AF_INET6` as the kernel stores it in `skc_family`.
pub const AF_INET6: u16 = 10;
