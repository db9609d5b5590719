//! `tcp_destroy_sock(sk)`: the end of a socket. One that is still queued has died with its
//! listener, or was accepted in a way that is not seen.

use crate::kernel::{accept, filter, listener, types::Sock};

/// Body: a TCP socket is destroyed.
#[inline(always)]
pub(crate) fn destroyed(sk: *const Sock) {
    if !filter::running() {
        return;
    }
    if listener::has_slot(sk) {
        listener::stopped(sk);
    } else {
        accept::gone(sk);
    }
}
