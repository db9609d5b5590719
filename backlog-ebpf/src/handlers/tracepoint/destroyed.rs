//! `tcp_destroy_sock(sk)`: the end of a socket. One that is still queued was killed with its
//! listener, or no program saw its accept.

use crate::handlers::{accept, listener};
use crate::kernel::types::Sock;
use crate::state::{shared, slots};

/// Hook: a TCP socket is destroyed.
#[inline(always)]
pub(crate) fn destroyed(sk: *const Sock) {
    if !shared::running() {
        return;
    }
    if slots::has_slot(sk) {
        listener::stopped(sk);
    } else {
        accept::on_destroy(sk);
    }
}
