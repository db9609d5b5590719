//! Failed calls of accept(). They are detected where the system call returns, because EMFILE occurs
//! before the protocol's accept is called, or where `io_uring` posts the result. These programs are
//! attached for only a few seconds at a time.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_current_pid_tgid};
use backlog_ebpf::{
    ABSENT, AF_INET, AF_INET6,
    accepts::{Failure, FailureKey},
};

use super::accepted::{self, URING_ACCEPT};
use crate::kernel::{
    caller,
    globals::{
        FDT_FD, FDT_MAX, FILE_PRIVATE, FILES_FDT, PT_REGS_FIRST, SK_SOCKET, SKC_FAMILY, SKC_STATE,
        SOCKET_INO, TASK_FILES, URING_FILE, URING_OPCODE,
    },
    mptcp, read,
    syscall::{self, Call, Passed},
    time,
    types::{File, Regs, Sock, Socket, TCP_LISTEN, UringRequest},
};
use crate::state::{
    filter,
    maps::{FAILED, FAILED_OTHER},
    shared,
};

/// Hook: a system call returns.
#[inline(always)]
pub(crate) fn any_call(regs: *const Regs, returned: i64) {
    if returned >= 0 {
        return;
    }
    let Some((Call::Accept, passed)) = syscall::of(regs) else { return };
    if shared::running()
        && let Some(inode) = inode_of(regs, passed)
    {
        failed(inode, returned.wrapping_neg() as u32);
    }
}

/// Hook: `io_uring` reports the result of a request. A cancelled request has not failed.
#[inline(always)]
pub(crate) fn completed(request: *const UringRequest, result: i32) {
    /// `ECANCELED` of `include/uapi/asm-generic/errno.h`.
    const CANCELED: i32 = 125;

    if result >= 0
        || result == -CANCELED
        || request.is_null()
        || read::field::<_, u8>(request, &URING_OPCODE) != URING_ACCEPT
        || FILE_PRIVATE.load() == ABSENT
        || !shared::running()
    {
        return;
    }
    let file: *const File = read::pointer(request, &URING_FILE);
    if let Some(inode) = listener_inode(mptcp::tcp_of(accepted::socket_in(file))) {
        failed(inode, result.wrapping_neg() as u32);
    }
}

/// Counts a failure at the listener with this inode number.
#[inline(always)]
fn failed(inode: u64, errno: u32) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let key = FailureKey { inode, pid, errno };
    let now = time::now();
    if let Some(known) = FAILED.get_ptr_mut(key) {
        // SAFETY: an element of the map, which userspace clears only while this program is
        // detached.
        unsafe {
            (*known).last_ns = now;
            shared::count(&raw mut (*known).count);
        }
        return;
    }
    let comm = caller::name();
    let first = Failure { first_ns: now, last_ns: now, count: 1, pad: 0, comm };
    if FAILED.insert(key, first, u64::from(BPF_NOEXIST)).is_err()
        && let Some(other) = FAILED_OTHER.get_ptr_mut(0)
    {
        // SAFETY: an element of the array.
        unsafe { shared::count(other) };
    }
}

/// The inode number of the TCP listener that the first argument refers to; zero if this kernel does
/// not show it. None if it is not a TCP listener, or is filtered out.
#[inline(always)]
fn inode_of(regs: *const Regs, passed: Passed) -> Option<u64> {
    let shown = TASK_FILES.load() != ABSENT
        && FILES_FDT.load() != ABSENT
        && FDT_FD.load() != ABSENT
        && FDT_MAX.load() != ABSENT
        && FILE_PRIVATE.load() != ABSENT
        && PT_REGS_FIRST.load() != ABSENT;
    if !shown {
        return Some(0);
    }
    listener_inode(mptcp::tcp_of(accepted::socket_of(passed.first(regs)?)))
}

/// Like [`inode_of`], for a socket.
#[inline(always)]
fn listener_inode(sk: *const Sock) -> Option<u64> {
    let family: u16 = read::field(sk, &SKC_FAMILY);
    if sk.is_null()
        || read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN
        || (family != AF_INET && family != AF_INET6)
        || !filter::port_and_namespace(sk)
    {
        return None;
    }
    let socket: *const Socket = read::pointer(sk, &SK_SOCKET);
    Some(read::field(socket, &SOCKET_INO))
}
