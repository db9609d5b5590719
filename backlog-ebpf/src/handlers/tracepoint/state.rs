//! `inet_sock_set_state(sk, old, new)`: listeners open and close, and connections are created.

use super::{birth, ports, twin::Twin};
use crate::handlers::listener;
use crate::kernel::{
    read,
    types::{IPPROTO_TCP, Sock, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV},
};
use crate::state::{filter, shared, slots};

/// Hook: the state of a socket is about to change.
#[inline(always)]
pub(crate) fn changes(sk: *const Sock, old: u64, new: u64, twin: Twin) {
    let (old, new) = (old as u8, new as u8);
    // Most events end early here: while the program runs, it misses the events of packets that
    // interrupt it.
    let matters = old == TCP_LISTEN || new == TCP_LISTEN || new == TCP_ESTABLISHED;
    // Other protocols get here as well, among them MPTCP's own sockets.
    if !matters || read::protocol(sk) != IPPROTO_TCP {
        return;
    }
    match (old, new) {
        (TCP_LISTEN, TCP_SYN_RECV) => birth::born(sk, twin),
        (TCP_SYN_RECV, TCP_ESTABLISHED) => birth::established(sk),
        (TCP_CLOSE, TCP_LISTEN) => listen(sk),
        (TCP_LISTEN, _) => {
            // Its children get to `destroyed` after this, and then the listener itself.
            if shared::running() {
                listener::stopping(sk);
            }
            ports::remove(sk);
        }
        _ => {}
    }
}

#[inline(always)]
fn listen(sk: *const Sock) {
    // The other twin has handled this. If instead the end of an earlier listener with this address
    // was missed, the new one is taken for it.
    if slots::is_open(sk) {
        return;
    }
    listener::opening(sk);
    // A listener without a port is about to get one; its first event will find it.
    if filter::port_and_namespace(sk) && ports::add(sk) {
        listener::opens(sk);
    }
}
