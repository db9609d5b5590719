//! Finds the processes of a session in /proc.

use std::fs;
use std::thread;
use std::time::Duration;

/// The maximum number of searches, since a process may fork during one.
const ROUNDS: u32 = 100;

/// Kills processes of the session until none is left.
pub(super) fn kill_session(session: u32) {
    for _ in 0..ROUNDS {
        let alive = members(session);
        if alive.is_empty() {
            return;
        }
        for process in alive {
            // SAFETY: kill takes two numbers. It is not an error if the process has ended by itself
            // meanwhile.
            unsafe { libc::kill(process, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The running processes of the session.
fn members(session: u32) -> Vec<libc::pid_t> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|process: &libc::pid_t| {
            fs::read_to_string(format!("/proc/{process}/stat"))
                .is_ok_and(|stat| session_of(&stat) == Some(session))
        })
        .collect()
}

/// The session ID in a line of /proc/PID/stat, if the process has not ended.
fn session_of(stat: &str) -> Option<u32> {
    // The name before it may contain anything, even parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // The session follows the parent and the process group.
    let session = fields.nth(2)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::session_of;

    #[test]
    fn the_session_is_found_behind_any_name() {
        assert_eq!(session_of("17 (a) S 3 (b)) S 1 16 15 0 -1 4194560"), Some(15));
        assert_eq!(session_of("17 (sh) Z 1 16 15 0 -1 4194560"), None);
        assert_eq!(session_of(""), None);
    }
}
