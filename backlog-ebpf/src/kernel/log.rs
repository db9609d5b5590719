//! Log lines for developers (`--features log`): about 340 instructions each, so
//! they are not there at all without the feature.

/// A debug line, as `aya_log_ebpf::debug!` without its context.
macro_rules! trace_log {
    ($($arg:tt)*) => {{
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!((), $($arg)*);
    }};
}

pub(crate) use trace_log;
