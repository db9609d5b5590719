//! The eBPF programs. On the host this is an empty program, so that
//! `cargo build --workspace` needs no BPF tool; see `kernel` for the real one.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod kernel;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
