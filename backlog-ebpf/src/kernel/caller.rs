//! The process that calls listen(), and what it passes. To be asked only while it does so: in
//! a softirq the current process is whoever was interrupted.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs},
};
use backlog_ebpf::ABSENT;

use super::{
    globals::{
        HAS_TASK_REGS, PT_REGS_LAST, PT_REGS_NUMBER, PT_REGS_SECOND, SYS_LISTEN, TASK_STACK,
    },
    read,
    types::{Regs, Task},
};

/// Bytes of a kernel stack on x86-64, at whose end the caller's registers lie (5.10 to 5.14;
/// since then the kernel has a helper that finds them).
const STACK: usize = 16 << 10;

/// The process's number.
#[inline(always)]
pub(crate) fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The thread's name; zeros if the kernel does not tell.
#[inline(always)]
pub(crate) fn name() -> [u8; 16] {
    bpf_get_current_comm().unwrap_or([0; 16])
}

/// The backlog that it passes to listen(), of which the kernel has granted so much. None:
/// it has come by another way (io_uring, a 32-bit program), or it does not fit.
#[inline(always)]
pub(crate) fn asked(granted: u32, somaxconn: u32) -> Option<i32> {
    let regs = registers();
    if regs.is_null() || read::field::<_, u32>(regs, &PT_REGS_NUMBER) != SYS_LISTEN.load() {
        return None;
    }
    let asked: i32 = read::field(regs, &PT_REGS_SECOND);
    let cut = if asked as u32 > somaxconn { somaxconn } else { asked as u32 };
    (cut == granted).then_some(asked)
}

#[inline(always)]
fn registers() -> *const Regs {
    if HAS_TASK_REGS.load() != 0 {
        // SAFETY: the helper takes the task that the other one gives.
        return unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const Regs;
    }
    if TASK_STACK.load() == ABSENT || PT_REGS_LAST.load() == ABSENT {
        return core::ptr::null();
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const Task;
    let stack: u64 = read::field(task, &TASK_STACK);
    let last = PT_REGS_LAST.load() as usize + 8;
    (stack as *const Regs).wrapping_byte_add(STACK - last)
}
