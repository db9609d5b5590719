//! Tracepoints. Each has a typed program (`tp_btf`) and an untyped one (`raw_tp`): for kernels that
//! reject the former, and to attach both where the kernel may skip one. The exits of a few system
//! calls are attached through perf, so that other calls pay nothing.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    macros::{btf_tracepoint, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};

use super::context::Arguments;
use crate::handlers::tracepoint::{accepted, destroyed, failed, freed, state, twin::Twin};
use crate::kernel::{
    globals::{HAS_TASK_REGS, KFREE_HAS_SOCKET, URING_HAS_CQE, URING_HAS_REQUEST, URING_RESULT},
    read,
    syscall::Passed,
    types::{Regs, UringCompletion, UringRequest},
};

/// Twins: the names of both programs, and the handler of their arguments.
macro_rules! twins {
    ($($typed:ident, $raw:ident: $body:expr;)+) => {$(
        #[btf_tracepoint]
        fn $typed(ctx: BtfTracePointContext) {
            $body(&ctx, Twin::Typed);
        }

        #[raw_tracepoint]
        fn $raw(ctx: RawTracePointContext) -> i32 {
            $body(&ctx, Twin::Raw);
            0
        }
    )+};
}

twins! {
    tb_state, rt_state: set_state;
    tb_destroy, rt_destroy: destroy_sock;
    tb_kfree, rt_kfree: kfree_skb;
    tb_consume, rt_consume: consume_skb;
    tb_exit, rt_exit: sys_exit;
    tb_uring, rt_uring: uring_complete;
}

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[inline(always)]
fn set_state(event: &impl Arguments, twin: Twin) {
    state::changes(event.address(0), event.word(1), event.word(2), twin);
}

/// `tcp_destroy_sock(sk)`
#[inline(always)]
fn destroy_sock(event: &impl Arguments, _: Twin) {
    destroyed::destroyed(event.address(0));
}

/// `kfree_skb(skb, location[, reason[, rx_sk]])`
#[inline(always)]
fn kfree_skb(event: &impl Arguments, _: Twin) {
    let by = if KFREE_HAS_SOCKET.load() != 0 { event.address(3) } else { core::ptr::null() };
    freed::dropped(event.address(0), by);
}

/// `consume_skb(skb[, location])`
#[inline(always)]
fn consume_skb(event: &impl Arguments, _: Twin) {
    freed::consumed(event.address(0));
}

/// `sys_exit(regs, ret)`
#[inline(always)]
fn sys_exit(event: &impl Arguments, _: Twin) {
    accepted::any_call(event.address(0), event.word(1) as i64);
}

/// `io_uring_complete`
#[inline(always)]
fn uring_complete(event: &impl Arguments, _: Twin) {
    let (request, result) = completion(event);
    accepted::completed(request, result);
}

/// A request of `io_uring`, if this kernel passes it, and its result.
#[inline(always)]
fn completion(event: &impl Arguments) -> (*const UringRequest, i32) {
    /// The offset of the result in a `struct io_uring_cqe`, which is userspace ABI.
    const RESULT: usize = 8;

    let request = if URING_HAS_REQUEST.load() != 0 { event.address(1) } else { core::ptr::null() };
    let result = if URING_HAS_CQE.load() != 0 {
        read::at(event.address::<UringCompletion>(2), RESULT)
    } else if URING_RESULT.load() == 3 {
        event.word(3) as i32
    } else {
        event.word(2) as i32
    };
    (request, result)
}

/// The caller's registers, and the return value that perf passes for a system call: `struct
/// syscall_tp_t` of `kernel/trace/trace_syscalls.c` (5.10 to 7.3).
#[inline(always)]
fn call(ctx: &TracePointContext) -> (*const Regs, i64) {
    /// After the registers and the number.
    const RETURNED: usize = 16;

    let regs: u64 = if HAS_TASK_REGS.load() != 0 {
        // SAFETY: the helper takes the task that the other one returns.
        unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 }
    } else {
        // Since 6.13 these are no longer the caller's.
        read::at(ctx.as_ptr().cast_const(), 0)
    };
    let returned: i64 = read::at(ctx.as_ptr().cast_const(), RETURNED);
    (regs as *const Regs, returned)
}

/// `accept`, `accept4`
#[tracepoint]
fn tp_accept(ctx: TracePointContext) -> u32 {
    let (regs, returned) = call(&ctx);
    accepted::accepted(regs, Passed::Wide, returned);
    0
}

/// `listen`
#[tracepoint]
fn tp_listen(ctx: TracePointContext) -> u32 {
    let (regs, returned) = call(&ctx);
    accepted::listened(regs, Passed::Wide, returned);
    0
}

/// `sys_exit(regs, ret)`, attached for a few seconds. The perf tracepoints of the calls would cost
/// other calls less, but miss the calls of 32-bit programs.
#[raw_tracepoint]
fn rt_failed(ctx: RawTracePointContext) -> i32 {
    failed::any_call(ctx.address(0), ctx.word(1) as i64);
    0
}

/// `io_uring_complete`, attached for a few seconds
#[raw_tracepoint]
fn rt_uring_failed(ctx: RawTracePointContext) -> i32 {
    let (request, result) = completion(&ctx);
    failed::completed(request, result);
    0
}
