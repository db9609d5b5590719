//! What /proc tells about threads and processes.

use std::fs;

/// Whether a thread sleeps, waiting for something outside.
#[must_use]
pub fn asleep(thread: i32) -> bool {
    is_in_state(thread, 'S')
}

/// Whether a signal has stopped a process.
#[must_use]
pub fn stopped(process: i32) -> bool {
    is_in_state(process, 'T')
}

/// A size that /proc/PID/status tells in kB, such as `VmRSS`.
#[must_use]
pub fn status_kib(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let of = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
    status.lines().find_map(of)?.split_whitespace().next()?.parse().ok()
}

fn is_in_state(thread: i32, state: char) -> bool {
    // The name in brackets may hold anything: the state follows the last ')'.
    fs::read_to_string(format!("/proc/{thread}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with(state)))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_is_awake() {
        // SAFETY: gettid takes nothing and cannot fail.
        assert!(!asleep(unsafe { libc::gettid() }));
        assert!(!asleep(0));
    }

    #[test]
    fn a_process_has_a_size() {
        let size = status_kib(std::process::id(), "VmRSS").unwrap();
        assert!(size > 100, "{size} KiB");
        assert_eq!(status_kib(std::process::id(), "VmNone"), None);
    }
}
