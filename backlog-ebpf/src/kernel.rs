//! The programs. A hook's entry point ([`entry`]) takes the arguments from its
//! context and calls one body; the bodies know sockets and records, not how they
//! were attached. `maps` and `globals` are the contract with the loader.

mod accept;
mod ack;
mod attempt;
mod call;
mod caller;
mod cgroup;
mod cookie;
mod counters;
mod distribution;
mod enqueue;
mod entry;
mod filter;
mod globals;
mod join;
mod listener;
mod log;
mod look;
mod maps;
mod met;
mod migrate;
mod namespace;
mod note;
mod out;
mod pending;
mod place;
mod read;
mod refuse;
mod request;
mod shared;
mod site;
mod syn;
mod syscall;
mod tracepoint;
mod types;
mod waiting;
mod workers;

/// Tracing helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could come here, so none does.
    loop {}
}
