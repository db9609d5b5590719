//! What /proc tells about threads.

use std::fs;

/// Whether a thread sleeps, waiting for something outside.
#[must_use]
pub fn asleep(thread: i32) -> bool {
    // The name in brackets may hold anything: the state follows the last ')'.
    fs::read_to_string(format!("/proc/{thread}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('S')))
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
}
