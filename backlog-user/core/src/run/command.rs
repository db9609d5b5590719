//! The exit of the command of `--cmd`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEnd {
    /// The status that it exited with.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The run ended first and stopped it.
    pub stopped: bool,
}

impl CommandEnd {
    /// Whether it ended by itself with another status than 0.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.stopped && self.exit_code != Some(0)
    }
}

impl fmt::Display for CommandEnd {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exit_code, self.signal) {
            _ if self.stopped => write!(to, "--cmd was still running and was stopped"),
            // The shell's exit statuses for a missing command, or one that is not executable.
            (Some(code @ (126 | 127)), _) => {
                write!(to, "--cmd exited with status {code}: the shell could not run it")
            }
            (Some(code), _) => write!(to, "--cmd exited with status {code}"),
            (None, Some(signal)) => write!(to, "--cmd was killed by signal {signal}"),
            (None, None) => write!(to, "--cmd ended, with an unknown status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CommandEnd;

    #[test]
    fn an_end_is_told_and_fails_or_not() {
        let exited = |code| CommandEnd { exit_code: Some(code), ..CommandEnd::default() };
        let killed = CommandEnd { signal: Some(9), ..CommandEnd::default() };
        let stopped = CommandEnd { stopped: true, ..CommandEnd::default() };
        for (end, text, failed) in [
            (exited(0), "exited with status 0", false),
            (exited(3), "exited with status 3", true),
            (exited(127), "could not run it", true),
            (killed, "killed by signal 9", true),
            (stopped, "was stopped", false),
        ] {
            assert!(end.to_string().contains(text) && end.failed() == failed, "{end}");
        }
    }
}
