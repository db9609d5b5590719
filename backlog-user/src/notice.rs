//! Log messages on stderr, next to the output.

use std::io::{self, Write as _};

use backlog_core::text::outside::harmless;

/// A log message or an error, on stderr. It may quote names and paths from outside. A closed stderr
/// is not a reason to stop.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "backlog-trace: {}", harmless(text));
}
