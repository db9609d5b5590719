//! The acceptors of a listener, and failing calls.

use backlog_core::clock::Clock;
use backlog_core::event::{AcceptError, AcceptErrors, Accepts};
use backlog_core::model::accept_errors::FailedAccepts;
use backlog_core::model::page::Page;
use backlog_core::model::workers::Share;
use serde_json::{Value, json};

use super::values::time;

/// Accepts by process and thread.
pub(super) fn by_worker(page: &Page) -> Value {
    let accepted = page.totals.accepted;
    let thread =
        |one: &&Accepts| json!({"tid": one.tid, "comm": one.process.comm, "accepts": one.count});
    let one = |share: &Share<'_>| {
        json!({
            "process": share.process,
            "accepts": share.accepts,
            "share": share.accepts as f64 / accepted.max(1) as f64,
            "threads": share.threads.iter().map(thread).collect::<Vec<_>>(),
        })
    };
    json!({
        "workers": page.workers.shares().iter().map(one).collect::<Vec<_>>(),
        "other": page.workers.other,
        "not_seen": page.workers.not_seen(accepted),
    })
}

/// A line: failed calls since the previous one.
pub(super) fn errors(clock: &Clock, errors: &AcceptErrors) -> Value {
    let AcceptErrors { listener, watched_ns, errors, left_out } = errors;
    let mut value = failed(clock, *watched_ns, errors, *left_out);
    value["listener"] = json!(listener);
    value
}

/// All of a listener, for its summary.
pub(super) fn all_errors(clock: &Clock, failed_accepts: &FailedAccepts) -> Value {
    let FailedAccepts { watched_ns, kept, left_out } = failed_accepts;
    let mut value = failed(clock, *watched_ns, kept, *left_out);
    value["text"] = json!(failed_accepts.sentence());
    value
}

fn failed(clock: &Clock, watched_ns: u64, errors: &[AcceptError], left_out: u64) -> Value {
    let one = |error: &AcceptError| {
        let AcceptError { process, errno, count, first_ns, last_ns, nofile, by_holder } = error;
        json!({
            "process": process,
            "errno": errno,
            "name": error.name(),
            "count": count,
            "first": time(clock, *first_ns),
            "last": time(clock, *last_ns),
            "nofile": nofile,
            "by_holder": by_holder,
            "text": error.sentence(),
        })
    };
    json!({
        "watched_us": watched_ns / 1000,
        "errors": errors.iter().map(one).collect::<Vec<_>>(),
        "left_out": left_out,
    })
}
