//! A call of accept() has failed. It is looked at where the system call returns: EMFILE arises
//! before the protocol's accept is called. These programs are attached for some seconds, when
//! nobody accepts.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_current_pid_tgid};
use backlog_ebpf::{
    ABSENT, AF_INET, AF_INET6,
    accepts::{Failure, FailureKey},
};

use super::accepted::socket_of;
use crate::kernel::{
    accept, caller, filter,
    globals::{
        FDT_FD, FDT_MAX, FILE_PRIVATE, FILES_FDT, PT_REGS_FIRST, PT_REGS_NUMBER, SK_SOCKET,
        SKC_FAMILY, SKC_STATE, SOCKET_INO, SYS_ACCEPT, SYS_ACCEPT4, TASK_FILES,
    },
    listener,
    maps::{FAILED, FAILED_OTHER},
    read,
    shared::count,
    types::{Regs, Socket, TCP_LISTEN},
};

/// Body: any system call returns.
#[inline(always)]
pub(crate) fn any_call(regs: *const Regs, returned: i64) {
    if returned >= 0 {
        return;
    }
    let number = read::field::<_, u32>(regs, &PT_REGS_NUMBER);
    if number == SYS_ACCEPT.load() || number == SYS_ACCEPT4.load() {
        failed(regs, returned);
    }
}

/// Body: accept() or accept4() returns.
#[inline(always)]
pub(crate) fn failed(regs: *const Regs, returned: i64) {
    if returned >= 0 || !filter::running() {
        return;
    }
    let Some(inode) = inode_of(regs) else { return };
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let key = FailureKey { inode, pid, errno: returned.wrapping_neg() as u32 };
    let now = listener::now();
    if let Some(known) = FAILED.get_ptr_mut(key) {
        // SAFETY: an element of the map, which userspace empties only when this program is
        // detached.
        unsafe {
            (*known).last_ns = now;
            count(&raw mut (*known).count);
        }
        return;
    }
    let comm = caller::name();
    let first = Failure { first_ns: now, last_ns: now, count: 1, pad: 0, comm };
    if FAILED.insert(key, first, u64::from(BPF_NOEXIST)).is_err()
        && let Some(other) = FAILED_OTHER.get_ptr_mut(0)
    {
        // SAFETY: an element of the array.
        unsafe { count(other) };
    }
}

/// The inode number of the TCP listener that the first argument names; zero: this kernel does
/// not show it. None: it is not a TCP listener, or one that is left out.
#[inline(always)]
fn inode_of(regs: *const Regs) -> Option<u64> {
    let shown = TASK_FILES.load() != ABSENT
        && FILES_FDT.load() != ABSENT
        && FDT_FD.load() != ABSENT
        && FDT_MAX.load() != ABSENT
        && FILE_PRIVATE.load() != ABSENT
        && PT_REGS_FIRST.load() != ABSENT;
    if !shown {
        return Some(0);
    }
    let sk = accept::tcp_of(socket_of(read::field(regs, &PT_REGS_FIRST)));
    let family: u16 = read::field(sk, &SKC_FAMILY);
    if sk.is_null()
        || read::field::<_, u8>(sk, &SKC_STATE) != TCP_LISTEN
        || (family != AF_INET && family != AF_INET6)
        || !filter::place(sk)
    {
        return None;
    }
    let socket: *const Socket = read::pointer(sk, &SK_SOCKET);
    Some(read::field(socket, &SOCKET_INO))
}
