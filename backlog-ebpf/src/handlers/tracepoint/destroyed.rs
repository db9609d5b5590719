//! `tcp_destroy_sock(sk)`: the end of a socket. One that is still queued has died with its
//! listener, or was accepted in a way that is not seen.

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
