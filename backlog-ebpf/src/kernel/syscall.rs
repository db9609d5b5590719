//! The current thread's system call and its arguments, for 64-bit and 32-bit programs. The latter
//! use the numbers of i386. A number means different calls on the two architectures, so it is
//! ambiguous on its own.

use aya_ebpf::helpers::{bpf_probe_read_user, generated::bpf_get_current_task};
use backlog_ebpf::ABSENT;

use super::{
    globals::{
        PT_REGS_32_FIRST, PT_REGS_32_SECOND, PT_REGS_FIRST, PT_REGS_NUMBER, PT_REGS_SECOND,
        SYS_ACCEPT, SYS_ACCEPT4, SYS_LISTEN, TASK_STATUS,
    },
    read,
    types::{Regs, Task},
};

/// `socketcall`, `listen` and `accept4` of `arch/x86/entry/syscalls/syscall_32.tbl`; `accept`
/// is a `socketcall` only.
const SOCKETCALL: u32 = 102;
const LISTEN_32: u32 = 363;
const ACCEPT4_32: u32 = 364;

/// The first argument of `socketcall`, of `include/uapi/linux/net.h`.
const CALL_LISTEN: u32 = 4;
const CALL_ACCEPT: u32 = 5;
const CALL_ACCEPT4: u32 = 18;

/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h` (5.10 to 7.3): the thread is in a 32-bit
/// system call.
const COMPAT: u32 = 2;

/// A traced system call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// accept() or accept4()
    Accept,
    /// listen()
    Listen,
}

/// How its arguments are passed.
#[derive(Clone, Copy)]
pub(crate) enum Passed {
    /// In 64-bit registers.
    Wide,
    /// In 32-bit registers.
    Narrow,
    /// In the program's memory at this address, 4 bytes each.
    InMemory(u32),
}

impl Passed {
    /// The first argument.
    #[inline(always)]
    pub(crate) fn first(self, regs: *const Regs) -> Option<u32> {
        match self {
            Self::Wide => Some(read::field(regs, &PT_REGS_FIRST)),
            Self::Narrow => Some(read::field(regs, &PT_REGS_32_FIRST)),
            Self::InMemory(address) => user(address),
        }
    }

    /// The second argument.
    #[inline(always)]
    pub(crate) fn second(self, regs: *const Regs) -> Option<u32> {
        match self {
            Self::Wide => Some(read::field(regs, &PT_REGS_SECOND)),
            Self::Narrow => Some(read::field(regs, &PT_REGS_32_SECOND)),
            Self::InMemory(address) => user(address.wrapping_add(4)),
        }
    }
}

/// The traced call that the current thread is in, by its registers; none for any other call.
#[inline(always)]
pub(crate) fn of(regs: *const Regs) -> Option<(Call, Passed)> {
    let number = read::field::<_, u32>(regs, &PT_REGS_NUMBER);
    let call = if number == SYS_ACCEPT.load() || number == SYS_ACCEPT4.load() {
        Call::Accept
    } else if number == SYS_LISTEN.load() {
        Call::Listen
    } else if matches!(number, SOCKETCALL | LISTEN_32 | ACCEPT4_32) {
        return if is_narrow() { narrow(number, regs) } else { None };
    } else {
        return None;
    };
    (!is_narrow()).then_some((call, Passed::Wide))
}

/// Like [`of`], for a number of i386.
#[inline(always)]
fn narrow(number: u32, regs: *const Regs) -> Option<(Call, Passed)> {
    if number == LISTEN_32 {
        return Some((Call::Listen, Passed::Narrow));
    }
    if number == ACCEPT4_32 {
        return Some((Call::Accept, Passed::Narrow));
    }
    let passed = Passed::InMemory(read::field(regs, &PT_REGS_32_SECOND));
    match read::field::<_, u32>(regs, &PT_REGS_32_FIRST) {
        CALL_LISTEN => Some((Call::Listen, passed)),
        CALL_ACCEPT | CALL_ACCEPT4 => Some((Call::Accept, passed)),
        _ => None,
    }
}

/// Whether the current thread is in a 32-bit system call.
#[inline(always)]
fn is_narrow() -> bool {
    if TASK_STATUS.load() == ABSENT || PT_REGS_32_FIRST.load() == ABSENT {
        return false;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() } as *const Task;
    read::field::<_, u32>(task, &TASK_STATUS) & COMPAT != 0
}

/// A number in the program's memory; none if it cannot be read now.
#[inline(always)]
fn user(address: u32) -> Option<u32> {
    // SAFETY: the helper checks the address, and fails if it cannot read it.
    unsafe { bpf_probe_read_user(address as usize as *const u32) }.ok()
}
