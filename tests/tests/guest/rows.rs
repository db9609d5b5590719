//! Prints lines for the tables of `cargo xtask causes`: what was provoked, counted by the kernel,
//! and seen by the tool. Without `BACKLOG_ROWS`, nothing is printed.

use std::env;
use std::io::{Write, stderr};

use serde_json::{Value, json};

/// A cause or a side event; `kernel` has no value if no counter shows it.
pub(crate) fn cause(name: &str, provoked: u64, kernel: Option<u64>, seen: u64) {
    print(&json!({"name": name, "provoked": provoked, "kernel": kernel, "seen": seen}));
}

/// Something that this kernel cannot show, and why.
pub(crate) fn absent(name: &str, why: &str) {
    print(&json!({"name": name, "absent": why}));
}

/// A kernel counter under a load, which may not know itself what it provoked.
pub(crate) fn load(name: &str, provoked: Option<u64>, kernel: Option<u64>, seen: u64) {
    print(&json!({
        "load": true, "name": name, "provoked": provoked, "kernel": kernel, "seen": seen,
    }));
}

/// A run of a load.
pub(crate) struct Asked<'a> {
    pub(crate) shape: &'a str,
    pub(crate) run: u32,
    pub(crate) backlog: u32,
    pub(crate) expected: &'a str,
    /// The depth that the longer queue needed.
    pub(crate) needed: Option<u64>,
}

/// The recommendation for a load, the refusals before it, and the number of 20 runs that must be
/// right.
pub(crate) fn sizing(asked: &Asked<'_>, of_twenty: u32, sizing: &Value, refused: u64) {
    let Asked { shape, run, backlog, expected, needed } = *asked;
    print(&json!({
        "sizing": true, "shape": shape, "run": run, "before": backlog, "refused": refused,
        "expected": expected, "of_twenty": of_twenty,
        "verdict": sizing["verdict"], "needed": needed,
        "backlog": sizing["backlog"], "why": sizing["why"],
    }));
}

/// The result of trying it, with more workers or with another backlog.
pub(crate) fn tried(
    shape: &str,
    run: u32,
    backlog: u32,
    workers: Option<u32>,
    refused: u64,
    peak: u64,
) {
    print(&json!({
        "tried": true, "shape": shape, "run": run, "backlog": backlog, "workers": workers,
        "refused": refused, "peak": peak,
    }));
}

fn print(row: &Value) {
    if env::var_os("BACKLOG_ROWS").is_some() {
        // Not println, since libtest captures what a test prints. A failure to write does not
        // matter.
        let _ = writeln!(stderr(), "ROW {row}");
    }
}
