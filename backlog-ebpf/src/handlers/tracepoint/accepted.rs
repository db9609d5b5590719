//! The return of the system calls accept() and listen(), and the results of `io_uring` requests,
//! which accept and listen without a system call.

use backlog_ebpf::cause::Beside;

use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::handlers::{accept, listener};
use crate::kernel::{
    globals::{
        FDT_FD, FDT_MAX, FILE_PRIVATE, FILES_FDT, SKC_STATE, SOCKET_SK, TASK_FILES, URING_OPCODE,
    },
    mptcp, read,
    syscall::{self, Call, Passed},
    time,
    types::{File, Regs, Sock, Socket, TCP_LISTEN, Task, UringRequest},
};
use crate::state::{
    histograms::AcceptedBy,
    pending::{self, overflow},
    shared, slots,
};

/// `IORING_OP_ACCEPT` of `include/uapi/linux/io_uring.h`.
pub(super) const URING_ACCEPT: u8 = 13;

/// Hook: a system call returns. Every call on the host gets here.
#[inline(always)]
pub(crate) fn any_call(regs: *const Regs, returned: i64) {
    if returned < 0 {
        return;
    }
    match syscall::of(regs) {
        Some((Call::Accept, passed)) => accepted(regs, passed, returned),
        Some((Call::Listen, passed)) => listened(regs, passed, returned),
        None => {}
    }
}

/// Hook: accept() or accept4() returns.
#[inline(always)]
pub(crate) fn accepted(regs: *const Regs, passed: Passed, returned: i64) {
    if returned < 0 || !shared::running() {
        return;
    }
    let child = mptcp::tcp_of(socket_of(returned as u32));
    if child.is_null() {
        return;
    }
    if accepted_before_enqueue(child) {
        return;
    }
    count_if_migrated(regs, passed, child);
    accept::on_accept(child, || accepted_from(regs, passed));
}

/// Hook: `io_uring` reports a result of a request, which is null for one with several results. Then
/// any result that is the descriptor of a recently queued connection counts as an accept.
#[inline(always)]
pub(crate) fn completed(request: *const UringRequest, result: i32) {
    if result < 0 || !shared::running() {
        return;
    }
    if !request.is_null() && read::field::<_, u8>(request, &URING_OPCODE) != URING_ACCEPT {
        return;
    }
    let child = mptcp::tcp_of(socket_of(result as u32));
    if !child.is_null() && !accepted_before_enqueue(child) {
        accept::count_if_tracked(child, AcceptedBy::CurrentThread);
    }
}

/// Whether a connection was accepted before its enqueue was recorded. Then this function counts the
/// accept, or leaves it to the CPU that records the enqueue. (That happens to MPTCP accepts, which
/// do not wait for it, and to Fast Open where the kernel does not show the end of the SYN: its
/// enqueue is recorded at the end of the handshake.)
#[inline(always)]
fn accepted_before_enqueue(child: *const Sock) -> bool {
    if !matches!(overflow::announced(child), Some((_, false))) {
        return false;
    }
    // If the enqueue was recorded meanwhile, whichever program removes the entry counts it.
    if !overflow::accept_before_enqueue(child, time::now()) {
        accept::count_if_tracked(child, AcceptedBy::CurrentThread);
    }
    true
}

/// The listener's socket, found by the first argument.
#[inline(always)]
fn accepted_from(regs: *const Regs, passed: Passed) -> *const Sock {
    let Some(descriptor) = passed.first(regs) else { return core::ptr::null() };
    mptcp::tcp_of(socket_of(descriptor))
}

/// Counts a migration: a connection that is accepted although its listener has closed has migrated
/// to another listener of its group.
#[inline(always)]
fn count_if_migrated(regs: *const Regs, passed: Passed, child: *const Sock) {
    let Some((from, _)) = overflow::announced(child) else { return };
    if read::field::<_, u8>(from, &SKC_STATE) == TCP_LISTEN {
        return;
    }
    let to = accepted_from(regs, passed);
    if to.is_null() || to == from {
        return;
    }
    let Some(tracked) = listener::of(to) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*tracked.totals).beside[Beside::MigratedIn as usize] += 1 };
    if let Some(from) = pending::move_to(child, to, tracked.slot, time::now())
        && let Some(tracked) = slots::tracked(from)
    {
        // SAFETY: as above.
        unsafe { (*tracked.totals).beside[Beside::Migrated as usize] += 1 };
    }
}

/// Hook: listen() returns.
#[inline(always)]
pub(crate) fn listened(regs: *const Regs, passed: Passed, returned: i64) {
    if returned != 0 || !shared::running() {
        return;
    }
    let sk = accepted_from(regs, passed);
    if !sk.is_null() {
        listener::listened(sk, 0);
    }
}

/// The socket of a descriptor of this process that is known to refer to one.
#[inline(always)]
pub(super) fn socket_of(descriptor: u32) -> *const Sock {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const Task;
    let files: *const u8 = read::pointer(task, &TASK_FILES);
    let table: *const u8 = read::pointer(files, &FILES_FDT);
    if descriptor >= read::field::<_, u32>(table, &FDT_MAX) {
        return core::ptr::null();
    }
    let array: *const u8 = read::pointer(table, &FDT_FD);
    let file: u64 = read::at(array, 8 * descriptor as usize);
    socket_in(file as *const File)
}

/// The socket of an open file that is known to be one.
#[inline(always)]
pub(super) fn socket_in(file: *const File) -> *const Sock {
    let socket: *const Socket = read::pointer(file, &FILE_PRIVATE);
    read::pointer(socket, &SOCKET_SK)
}
