//! The eBPF programs. On the host this is an empty program, so that
//! `cargo build --workspace` needs no BPF tool.
//!
//! A hook's entry point (`programs`) takes the arguments from its context and calls one of the
//! `handlers`, which keep their data in `state` and read the `kernel`'s memory. Imports go only in
//! this direction.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod handlers;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod state;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
