//! The entry points, one file for each way of attaching. They name the program and
//! say whether the tracer runs; which argument goes to which handler stands once, in
//! [`hooks`].

mod context;
mod fentry;
mod hooks;
mod iter;
mod kprobe;
mod tracepoint;

/// Tracing helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could come here, so none does.
    loop {}
}
