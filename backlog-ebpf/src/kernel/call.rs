//! The arguments of a function between its entry and its return, for programs that
//! see only what is returned (kretprobes).
//!
//! A function that runs with bottom halves off ends on the CPU where it began, and a
//! CPU runs it once at a time: its arguments are kept by CPU. One that may sleep is
//! kept by thread.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use super::maps::{CALLERS, CALLS};

/// A function that does not sleep.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Call {
    /// `tcp_conn_request`
    Syn = 0,
    /// `tcp_check_req`
    Ack = 1,
    /// `cookie_v4_check`, `cookie_v6_check`
    Cookie = 2,
    /// `tcp_req_err`
    Error = 3,
    /// `reqsk_timer_handler`
    Timer = 4,
    /// `reuseport_migrate_sock`
    Migrate = 5,
    /// `inet_csk_reqsk_queue_add`
    Add = 6,
}

impl Call {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
}

/// A function that may sleep.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Sleeper {
    /// `inet_csk_listen_start`
    Open = 0,
    /// `inet_listen`
    Listen = 1,
    /// `__inet_listen_sk`
    ListenSk = 2,
    /// `inet_csk_listen_stop`
    Close = 3,
}

/// Arguments that are kept: no exit looks at a later one.
const KEPT: usize = 4;

/// The first arguments of a call.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Saved {
    words: [u64; KEPT],
    /// Not zero: the function has been entered and has not returned.
    inside: u64,
}

/// A thread, and the function that it is in.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Caller {
    thread: u64,
    function: u64,
}

impl Saved {
    #[inline(always)]
    pub(crate) fn of(word: impl Fn(usize) -> u64) -> Self {
        Self { words: [word(0), word(1), word(2), word(3)], inside: 1 }
    }

    /// The argument at an index.
    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words[index]
    }
}

/// Keeps the arguments of a call until its return.
#[inline(always)]
pub(crate) fn entered(call: Call, saved: Saved) {
    if let Some(kept) = CALLS.get_ptr_mut(call as u32) {
        // SAFETY: a per-CPU element; see the module's head.
        unsafe { *kept = saved };
    }
}

/// The arguments of the call that returns. None if its entry was not seen.
#[inline(always)]
pub(crate) fn returns(call: Call) -> Option<Saved> {
    let kept = CALLS.get_ptr_mut(call as u32)?;
    // SAFETY: as in `entered`.
    let saved = unsafe { *kept };
    if saved.inside == 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*kept).inside = 0 };
    Some(saved)
}

#[inline(always)]
fn caller(function: Sleeper) -> Caller {
    Caller { thread: bpf_get_current_pid_tgid(), function: function as u64 }
}

/// Keeps the arguments of a call that may sleep until its return.
#[inline(always)]
pub(crate) fn sleeper_entered(function: Sleeper, saved: Saved) {
    // The table gives up its oldest entry when it is full, so this does not fail for long.
    let _ = CALLERS.insert(caller(function), saved, 0);
}

/// The arguments of the call that returns. None if its entry was not seen.
#[inline(always)]
pub(crate) fn sleeper_returns(function: Sleeper) -> Option<Saved> {
    let caller = caller(function);
    // SAFETY: only this thread writes its entries.
    let saved = *unsafe { CALLERS.get(caller) }?;
    let _ = CALLERS.remove(caller);
    Some(saved)
}
