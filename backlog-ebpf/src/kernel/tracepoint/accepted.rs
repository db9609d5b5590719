//! A system call returns: accept() with a connection, or listen().

use backlog_ebpf::cause::Beside;

use crate::kernel::{
    accept,
    distribution::By,
    filter,
    globals::{
        FDT_FD, FDT_MAX, FILE_PRIVATE, FILES_FDT, PT_REGS_FIRST, PT_REGS_NUMBER, SKC_STATE,
        SOCKET_SK, SYS_ACCEPT, SYS_ACCEPT4, SYS_LISTEN, TASK_FILES,
    },
    listener, pending, read,
    types::{Regs, Sock, Socket, TCP_LISTEN, Task},
};
use aya_ebpf::helpers::generated::bpf_get_current_task;

/// Body: any system call returns. Every one on the host comes here.
#[inline(always)]
pub(crate) fn any_call(regs: *const Regs, returned: i64) {
    if returned < 0 {
        return;
    }
    let number = read::field::<_, u32>(regs, &PT_REGS_NUMBER);
    if number == SYS_ACCEPT.load() || number == SYS_ACCEPT4.load() {
        accepted(regs, returned);
    } else if number == SYS_LISTEN.load() {
        listened(regs, returned);
    }
}

/// Body: accept() or accept4() returns.
#[inline(always)]
pub(crate) fn accepted(regs: *const Regs, returned: i64) {
    if returned < 0 || !filter::running() {
        return;
    }
    let child = accept::tcp_of(socket_of(returned as u32));
    if child.is_null() {
        return;
    }
    if matches!(pending::announced(child), Some((_, false))) {
        // Accepted before the CPU that adds it has come to the place where it is counted.
        // (The accept of an MPTCP one does not wait for that, and the place of a Fast Open
        // one is the end of its handshake, where the kernel does not show that of its SYN.)
        // If it has come there meanwhile, whoever takes the entry counts.
        if !pending::early(child, listener::now()) {
            accept::known(child, By::Current);
        }
        return;
    }
    followed(regs, child);
    accept::taken(child, || accepted_from(regs));
}

/// The listener's socket, by the first argument.
#[inline(always)]
fn accepted_from(regs: *const Regs) -> *const Sock {
    accept::tcp_of(socket_of(read::field(regs, &PT_REGS_FIRST)))
}

/// A connection whose listener has closed and that is accepted all the same has gone to
/// another of its group.
#[inline(always)]
fn followed(regs: *const Regs, child: *const Sock) {
    let Some((from, _)) = pending::announced(child) else { return };
    if read::field::<_, u8>(from, &SKC_STATE) == TCP_LISTEN {
        return;
    }
    let to = accepted_from(regs);
    if to.is_null() || to == from {
        return;
    }
    let Some(seen) = listener::of(to) else { return };
    // SAFETY: this CPU's element of the per-CPU array.
    unsafe { (*seen.totals).beside[Beside::MigratedIn as usize] += 1 };
    if let Some(from) = pending::moved(child, to, seen.slot, listener::now())
        && let Some(seen) = listener::seen(from)
    {
        // SAFETY: as above.
        unsafe { (*seen.totals).beside[Beside::Migrated as usize] += 1 };
    }
}

/// Body: listen() returns.
#[inline(always)]
pub(crate) fn listened(regs: *const Regs, returned: i64) {
    if returned != 0 || !filter::running() {
        return;
    }
    let sk = accept::tcp_of(socket_of(read::field(regs, &PT_REGS_FIRST)));
    if !sk.is_null() {
        listener::listened(sk, 0);
    }
}

/// The socket behind a descriptor of this process, which is known to be one.
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
    let socket: *const Socket = read::pointer(file as *const u8, &FILE_PRIVATE);
    read::pointer(socket, &SOCKET_SK)
}
