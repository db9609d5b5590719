//! Lines for the tables of `cargo xtask causes`: what was provoked, what the kernel
//! counted, what the tool saw. Without `BACKLOG_ROWS` they are not printed.

use std::env;
use std::io::{Write, stderr};

use serde_json::{Value, json};

/// A cause, or what is counted beside; `kernel` is none where no counter knows it.
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

/// What was recommended for a load, and how much was refused before.
pub(crate) fn sizing(shape: &str, backlog: u32, expected: &str, sizing: &Value, refused: u64) {
    print(&json!({
        "sizing": true, "shape": shape, "before": backlog, "refused": refused,
        "expected": expected,
        "verdict": sizing["verdict"], "needed": sizing["needed_depth"],
        "backlog": sizing["backlog"],
    }));
}

/// What came of it when it was tried.
pub(crate) fn tried(shape: &str, backlog: u32, refused: u64, peak: u64) {
    print(&json!({
        "tried": true, "shape": shape, "backlog": backlog, "refused": refused, "peak": peak,
    }));
}

fn print(row: &Value) {
    if env::var_os("BACKLOG_ROWS").is_some() {
        // Not println: libtest keeps what a test prints. Whoever does not listen
        // does not need it.
        let _ = writeln!(stderr(), "ROW {row}");
    }
}
