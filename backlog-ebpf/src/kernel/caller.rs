//! The process that calls listen(), and its argument. Valid only during the call: in a softirq the
//! current process is the interrupted one.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid,
    generated::{
        bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs,
    },
};
use backlog_ebpf::ABSENT;

use super::{
    globals::{HAS_TASK_REGS, PT_REGS_LAST, TASK_COMM, TASK_LEADER, TASK_STACK},
    read,
    syscall::{self, Call},
    types::{Regs, Task},
};

/// The size of a kernel stack on x86-64. The caller's registers are at its end (5.10 to 5.14; later
/// kernels have a helper that finds them).
const STACK: usize = 16 << 10;

/// The process id.
#[inline(always)]
pub(crate) fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The thread's name; zeros if it cannot be read.
#[inline(always)]
pub(crate) fn name() -> [u8; 16] {
    bpf_get_current_comm().unwrap_or([0; 16])
}

/// Replaces the name of a kernel thread of `io_uring` (`iou-wrk-812`, `iou-sqp-812`), which says
/// little, by the name of its process.
///
/// # Safety
/// `name` must be memory of a map that is not freed meanwhile.
#[inline(always)]
pub(crate) unsafe fn name_process(name: *mut [u8; 16]) {
    const OF_URING: u32 = u32::from_ne_bytes(*b"iou-");

    // SAFETY: 16 bytes, as the caller says.
    let begins = unsafe { name.cast::<u32>().read_unaligned() };
    if begins != OF_URING || TASK_LEADER.load() == ABSENT || TASK_COMM.load() == ABSENT {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const Task;
    let leader: *const Task = read::pointer(task, &TASK_LEADER);
    let comm = leader.wrapping_byte_add(TASK_COMM.load() as usize);
    // SAFETY: the helper writes 16 bytes there, zeros if it cannot read.
    let _ = unsafe { bpf_probe_read_kernel(name.cast(), 16, comm.cast()) };
}

/// The backlog passed to listen(), if it is consistent with the granted one. None if the call came
/// another way (`io_uring`, the kernel itself), or if the values do not match.
#[inline(always)]
pub(crate) fn asked(granted: u32, somaxconn: u32) -> Option<i32> {
    let regs = registers();
    if regs.is_null() {
        return None;
    }
    let Some((Call::Listen, passed)) = syscall::of(regs) else { return None };
    let asked = passed.second(regs)?;
    let cut = if asked > somaxconn { somaxconn } else { asked };
    (cut == granted).then_some(asked as i32)
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
