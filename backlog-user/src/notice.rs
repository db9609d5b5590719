//! Log messages on stderr, next to the output.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use backlog_core::text::outside::harmless;

use crate::outlet::{Lost, OnStall, Outlet, Target};

/// Stderr of a run that must not wait for its reader.
static QUEUED: OnceLock<Outlet> = OnceLock::new();

/// From now on no message waits for the reader of stderr.
pub(crate) fn never_block() -> io::Result<()> {
    let outlet = Outlet::open(Target::Stderr, OnStall::Lose)?;
    // A second call changes nothing.
    let _ = QUEUED.set(outlet);
    Ok(())
}

/// A log message or an error, on stderr. It may quote names and paths from outside. A closed stderr
/// is not a reason to stop.
pub(crate) fn notice(text: &str) {
    line(&format!("backlog-trace: {}", harmless(text)));
}

/// A line on stderr.
pub(crate) fn line(text: &str) {
    match QUEUED.get() {
        None => {
            let _ = writeln!(io::stderr(), "{text}");
        }
        Some(outlet) => {
            let mut outlet = outlet.clone();
            let _ = writeln!(outlet, "{text}");
            let _ = outlet.flush();
        }
    }
}

/// No message follows: waits for as long as its reader reads. Returns what was lost. A reader that
/// is gone loses nothing that it wanted.
pub(crate) fn finish() -> Lost {
    let finished = QUEUED.get().map(|outlet| outlet.clone().finish());
    finished.and_then(Result::ok).unwrap_or_default()
}
