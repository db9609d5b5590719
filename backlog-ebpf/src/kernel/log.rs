//! Log lines for developers (`--features log`). One costs about 340 instructions, so they are
//! compiled out without the feature.

/// A debug line: `aya_log_ebpf::debug!` without its context.
macro_rules! trace_log {
    ($($arg:tt)*) => {{
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!((), $($arg)*);
    }};
}

pub(crate) use trace_log;
