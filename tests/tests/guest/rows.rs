//! Lines for the tables of `cargo xtask causes`: provoked, counted by the kernel, seen by the tool.
//! Without `BACKLOG_ROWS` they are not printed.

use std::env;
use std::io::{Write, stderr};

use serde_json::{Value, json};

/// A cause or a side event; `kernel`: none if it has no counter.
pub(crate) fn cause(name: &str, provoked: u64, kernel: Option<u64>, seen: u64) {
    print(&json!({"name": name, "provoked": provoked, "kernel": kernel, "seen": seen}));
}

/// What this kernel cannot show, and why.
pub(crate) fn absent(name: &str, why: &str) {
    print(&json!({"name": name, "absent": why}));
}

/// A counter of the kernel under a load, which may not know itself what it provoked.
pub(crate) fn load(name: &str, provoked: Option<u64>, kernel: Option<u64>, seen: u64) {
    print(&json!({
        "load": true, "name": name, "provoked": provoked, "kernel": kernel, "seen": seen,
    }));
}

/// A load, in one of its runs.
pub(crate) struct Asked<'a> {
    pub(crate) shape: &'a str,
    pub(crate) run: u32,
    pub(crate) backlog: u32,
    pub(crate) expected: &'a str,
    /// What the longer queue needed.
    pub(crate) needed: Option<u64>,
}

/// The recommendation for a load, and the refusals before; the number of 20 runs that must be
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

/// What came of it when it was tried; with more workers, or with another backlog.
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
        // Not println: libtest keeps what a test prints. Only a reader needs it.
        let _ = writeln!(stderr(), "ROW {row}");
    }
}
