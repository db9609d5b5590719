//! Iterators: programs that userspace runs over one of the kernel's tables.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;

use backlog_ebpf::pending::{ITER_DONE, ITER_MORE};

use crate::handlers::tracepoint::queued::{self, Found};

/// `struct bpf_iter__tcp`
#[repr(C)]
struct Context {
    meta: *const Meta,
    /// Null at the end.
    sk: *const c_void,
}

/// `struct bpf_iter_meta`
#[repr(C)]
struct Meta {
    seq: *mut c_void,
    session: u64,
    /// How many there were before.
    number: u64,
}

/// Iterates over the TCP sockets of a namespace, listeners first. It writes one byte if a queue
/// continues, and another after the last listener, so that the reader stops.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
fn it_queued(ctx: *const Context) -> i32 {
    // SAFETY: the kernel passes this struct, and the verifier knows its types.
    let (meta, sk) = unsafe { ((*ctx).meta, (*ctx).sk) };
    if let Some(identity) = queued::identity() {
        let bytes = (&raw const identity).cast_mut().cast();
        // SAFETY: the file of this iterator, and a local variable of that many bytes.
        unsafe { bpf_seq_write((*meta).seq.cast(), bytes, size_of::<u64>() as u32) };
        return 0;
    }
    // A namespace without sockets has only the end.
    // SAFETY: as above.
    if sk.is_null() || unsafe { (*meta).number } <= 1 {
        queued::begins();
    }
    let found = if sk.is_null() { Found::Other } else { queued::visit(sk.cast()) };
    let byte = match found {
        Found::Listener => return 0,
        Found::More => &raw const ITER_MORE,
        Found::Other => &raw const ITER_DONE,
    };
    // SAFETY: the file of this iterator, and one byte of this program's data.
    unsafe { bpf_seq_write((*meta).seq.cast(), byte.cast_mut().cast(), 1) };
    0
}
