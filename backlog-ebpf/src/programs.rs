//! The entry points of the programs, one file for each attach type. An entry point only checks
//! whether the tracer runs; [`hooks`] maps arguments to handlers for all types.

mod context;
mod fentry;
mod hooks;
mod iter;
mod kprobe;
mod tracepoint;

/// Only GPL-compatible programs may use tracing helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Unreachable: the verifier rejects a program that could get here.
    loop {}
}
