//! What a listening socket says of its queues.

use super::{
    globals::{ICSK_SYN_QUEUE, SK_ACK_BACKLOG, SK_DROPS, SK_MAX_ACK_BACKLOG},
    pointers::KernelPtr,
    read,
    types::Sock,
};

/// Depth of the accept queue, now.
#[inline(always)]
pub(crate) fn depth(sk: impl KernelPtr<Sock>) -> u32 {
    read::field(sk, &SK_ACK_BACKLOG)
}

/// The granted backlog, now: a second `listen()` changes it.
#[inline(always)]
pub(crate) fn limit(sk: impl KernelPtr<Sock>) -> u32 {
    read::field(sk, &SK_MAX_ACK_BACKLOG)
}

/// Requests in the SYN queue, now.
#[inline(always)]
pub(crate) fn syn_queue(sk: impl KernelPtr<Sock>) -> u32 {
    sk.as_tcp_sock().map_or(0, |whole| read::field(whole, &ICSK_SYN_QUEUE))
}

/// Is the accept queue full?
#[inline(always)]
pub(crate) fn is_full(sk: impl KernelPtr<Sock>) -> bool {
    depth(sk) > limit(sk)
}

/// Has it ever refused a packet?
#[inline(always)]
pub(crate) fn has_dropped(sk: impl KernelPtr<Sock>) -> bool {
    read::field::<_, u32>(sk, &SK_DROPS) != 0
}
