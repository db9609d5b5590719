//! What is said to the person at the terminal beside the output.

use std::io::{self, Write as _};

/// A notice or an error, on stderr. That stderr is closed is no reason to stop.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "backlog-trace: {text}");
}
