//! The startup scan: an iterator over the TCP sockets of a namespace, which visits listeners first.
//! It records the listeners' ports and the connections in their queues.

use backlog_ebpf::pending::{Pending, SEED_AFTER, SEED_BEFORE, SEED_BEGUN, SEED_DONE, SEED_NONE};

use aya_ebpf::helpers::generated::bpf_get_current_task;

use super::ports;
use crate::handlers::listener;
use crate::kernel::{
    globals::{ICSK_ACCEPT_HEAD, NSPROXY_NET, REQ_NEXT, REQ_SK, SKC_STATE, TASK_NSPROXY},
    read, sock, time,
    types::{IPPROTO_TCP, Net, Request, Sock, TCP_LISTEN, Task},
};
use crate::state::{
    filter,
    maps::{CURSORS, SEED},
    mib_snapshot, namespace,
    pending::overflow,
};

/// How many connections of a queue one run records; the verifier would reject more. The next run
/// continues after them, and the queue does not shrink that far meanwhile.
const STRIDE: u32 = 128;

/// The result for one socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A listener, with its whole queue recorded.
    Listener,
    /// A listener whose queue is longer than one run.
    More,
    /// Not a listener: the listeners are finished.
    Other,
}

/// The namespace of the thread that reads the iterator.
#[inline(always)]
fn here() -> *const Net {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const Task;
    let namespaces: *const u8 = read::pointer(task, &TASK_NSPROXY);
    read::pointer(namespaces, &NSPROXY_NET)
}

#[inline(always)]
fn seed() -> u32 {
    SEED.get(0).copied().unwrap_or(SEED_NONE)
}

/// Hook: the iterator starts.
#[inline(always)]
pub(crate) fn begins() {
    match seed() {
        SEED_BEFORE => mib_snapshot::first_snapshot(here()),
        SEED_BEGUN => namespace::mark_newest(here()),
        _ => {}
    }
}

/// Hook: the identity of the namespace, if userspace wants only that.
#[inline(always)]
pub(crate) fn identity() -> Option<u64> {
    matches!(seed(), SEED_NONE | SEED_DONE).then(|| namespace::identity(here()))
}

/// Hook: the iterator has reached a socket.
#[inline(always)]
pub(crate) fn visit(sk: *const Sock) -> Found {
    if read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN {
        return Found::Other;
    }
    if read::protocol(sk) != IPPROTO_TCP {
        return Found::Listener;
    }
    ports::add(sk);
    let seed = seed();
    if matches!(seed, SEED_BEFORE | SEED_AFTER)
        && filter::listener(sk)
        && sock::depth(sk) != 0
        && let Some(tracked) = listener::of(sk)
        && walk(sk, tracked.slot, seed) != 0
    {
        return Found::More;
    }
    Found::Listener
}

/// Records the connections of a queue. Returns zero at its end.
#[inline(never)]
fn walk(sk: *const Sock, slot: u32, seed: u32) -> u32 {
    let now = time::now();
    // SAFETY: the address is copied, not kept.
    let mut request = match unsafe { CURSORS.get(sk as u64) } {
        Some(place) => *place as *const Request,
        None => read::pointer(sk, &ICSK_ACCEPT_HEAD),
    };
    for _ in 0..STRIDE {
        if request.is_null() {
            let _ = CURSORS.remove(sk as u64);
            return 0;
        }
        let child: *const Sock = read::pointer(request, &REQ_SK);
        if filter::connection(child) {
            let entry = Pending {
                enqueued_ns: 0,
                listener: sk as u64,
                since_ns: now,
                slot,
                depth: 0,
                expected: seed,
                refused_isn: 0,
                early_ns: 0,
            };
            overflow::seed(child, entry);
        }
        request = read::pointer(request, &REQ_NEXT);
    }
    // If there is no room for the position, the scan of this queue ends here, and the rest is
    // unknown when it is accepted (`Stray::accepts`).
    u32::from(CURSORS.insert(sk as u64, request as u64, 0).is_ok())
}
