//! The arguments of a function between its entry and its return, for programs that see only the
//! return value (kretprobes).
//!
//! A function that runs with bottom halves off returns on the CPU where it was called, and a CPU
//! runs it only once at a time: its arguments are kept per CPU. Those of a function that may sleep
//! are kept per thread.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use super::{
    maps::{CALLERS, CALLS},
    values::{SavedArgs, SleepingCall, TracedCall},
};

/// A function that may sleep.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum SleepingFn {
    /// `inet_csk_listen_start`
    Open = 0,
    /// `inet_listen`
    Listen = 1,
    /// `__inet_listen_sk`
    ListenSk = 2,
    /// `inet_csk_listen_stop`
    Close = 3,
}

impl SavedArgs {
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

/// Saves the arguments of a call until its return.
#[inline(always)]
pub(crate) fn save(call: TracedCall, saved: SavedArgs) {
    if let Some(kept) = CALLS.get_ptr_mut(call as u32) {
        // SAFETY: a per-CPU element; see the module documentation.
        unsafe { *kept = saved };
    }
}

/// The arguments of the call that returns; none if no program saw its entry.
#[inline(always)]
pub(crate) fn take(call: TracedCall) -> Option<SavedArgs> {
    let kept = CALLS.get_ptr_mut(call as u32)?;
    // SAFETY: as in `save`.
    let saved = unsafe { *kept };
    if saved.inside == 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe { (*kept).inside = 0 };
    Some(saved)
}

#[inline(always)]
fn this_thread(function: SleepingFn) -> SleepingCall {
    SleepingCall { thread: bpf_get_current_pid_tgid(), function: function as u64 }
}

/// Saves the arguments of a call that may sleep until its return.
#[inline(always)]
pub(crate) fn save_by_thread(function: SleepingFn, saved: SavedArgs) {
    // The table evicts its oldest entry when it is full, so this does not fail for long.
    let _ = CALLERS.insert(this_thread(function), saved, 0);
}

/// The arguments of the call that returns; none if no program saw its entry.
#[inline(always)]
pub(crate) fn take_by_thread(function: SleepingFn) -> Option<SavedArgs> {
    let caller = this_thread(function);
    // SAFETY: only this thread writes its entries.
    let saved = *unsafe { CALLERS.get(caller) }?;
    let _ = CALLERS.remove(caller);
    Some(saved)
}
