//! Detects whether the kernel reserves every `bpf()` call for `CAP_BPF`. Before 5.19 it does if
//! `kernel.unprivileged_bpf_disabled` is set; later kernels reserve only the calls that create
//! something.

use std::io;

/// `BPF_MAP_LOOKUP_ELEM`
const LOOKUP: libc::c_long = 1;

/// Tries a lookup in a map that does not exist, with the rights of the calling thread.
pub(crate) fn is_refused() -> bool {
    // The first field is the descriptor of the map.
    let attributes = [u64::from(u32::MAX), 0, 0, 0];
    let size = size_of_val(&attributes);
    // SAFETY: the kernel only reads the attributes, and no map has this descriptor.
    let result = unsafe { libc::syscall(libc::SYS_bpf, LOOKUP, attributes.as_ptr(), size) };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}
