//! Log messages on stderr, next to the output.

use std::io::{self, Write as _};

/// A log message or an error, on stderr. A closed stderr is not a reason to stop.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "backlog-trace: {text}");
}
