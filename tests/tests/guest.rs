//! The truth tests run the tool next to a load that knows the truth, in a real kernel, as root,
//! inside the guest that `cargo xtask test` boots. On a host, each of them prints that it is
//! skipped.
//!
//! Environment: `BACKLOG_GUEST=1` turns them on; `BACKLOG_TRACE` names the tool, `BACKLOG_BIN` the
//! folder of the other programs (/bin), and `BACKLOG_TRACE_OPTIONS` adds options to every run of
//! the tool. `BACKLOG_NATIVE` marks a native run, `BACKLOG_TESTED_NATIVELY` a guest after a native
//! run that has covered the tests of userspace alone, and `BACKLOG_SERVERS` names the folder of the
//! real servers.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helper fails by a panic, as the test itself does"
)]

mod guest {
    mod abandoned;
    mod acceptors;
    mod audit;
    mod blind;
    mod causes;
    mod compare;
    mod connections;
    mod cost;
    mod cpu_limit;
    mod doctor;
    mod drops;
    mod ending;
    mod filters;
    mod foreign;
    mod groups;
    mod handshakes;
    mod help;
    mod high_use;
    mod listeners;
    mod mix;
    mod namespaces;
    mod on_event;
    mod outcomes;
    mod overload;
    mod owners;
    mod ownership;
    mod page;
    mod pressure;
    mod programs;
    mod refusals;
    mod replay;
    mod report;
    mod rights;
    mod rows;
    mod serve;
    mod serve_otlp;
    mod serve_prometheus;
    mod serve_tls;
    mod shapes;
    mod sizing;
    mod stalled;
    mod stopped;
    mod telling;
    mod tui;
    mod verdicts;
    mod waits;
    mod ways;
}
