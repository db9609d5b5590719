//! The state of a listening socket's queues.

use super::{
    globals::{ICSK_SYN_QUEUE, SK_ACK_BACKLOG, SK_DROPS, SK_MAX_ACK_BACKLOG},
    pointers::KernelPtr,
    read,
    types::Sock,
};

/// The current depth of the accept queue.
#[inline(always)]
pub(crate) fn depth(sk: impl KernelPtr<Sock>) -> u32 {
    read::field(sk, &SK_ACK_BACKLOG)
}

/// The granted backlog; a second `listen()` changes it.
#[inline(always)]
pub(crate) fn limit(sk: impl KernelPtr<Sock>) -> u32 {
    read::field(sk, &SK_MAX_ACK_BACKLOG)
}

/// The number of requests in the SYN queue.
#[inline(always)]
pub(crate) fn syn_queue(sk: impl KernelPtr<Sock>) -> u32 {
    sk.as_tcp_sock().map_or(0, |whole| read::field(whole, &ICSK_SYN_QUEUE))
}

/// Whether the accept queue is full.
#[inline(always)]
pub(crate) fn is_full(sk: impl KernelPtr<Sock>) -> bool {
    depth(sk) > limit(sk)
}

/// Whether the socket has ever dropped a packet.
#[inline(always)]
pub(crate) fn has_dropped(sk: impl KernelPtr<Sock>) -> bool {
    read::field::<_, u32>(sk, &SK_DROPS) != 0
}
