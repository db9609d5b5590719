//! The part of a summary line with the affected clients, the reason, and the remedy.

use backlog_core::clock::Clock;
use backlog_core::event::{Acceptor, Doing};
use backlog_core::model::Model;
use backlog_core::model::clients::Outside;
use backlog_core::model::episode::Episode;
use backlog_core::model::page::Page;
use backlog_core::model::sizing::{Cookies, Sizing};
use backlog_core::text::acceptor::sentence;
use backlog_ebpf::cause::Beside;
use serde_json::{Map, Value, json};

use super::values::{distribution, time};

/// What became of the clients that were refused, for the object `drops`.
pub(super) fn clients(drops: &mut Map<String, Value>, model: &Model, page: &Page, time_ns: u64) {
    let Outside { gave_up, believing, reset, trying, unknown } = model.outside(page, time_ns);
    drops.insert("clients".into(), page.clients.into());
    drops.insert("admitted".into(), page.admitted.into());
    drops.insert("gave_up".into(), gave_up.into());
    drops.insert("believing".into(), believing.into());
    drops.insert("reset".into(), reset.into());
    drops.insert("trying".into(), trying.into());
    drops.insert("unknown".into(), unknown.into());
    drops.insert("unfollowed".into(), page.totals.unfollowed.into());
    drops.insert("delay_us".into(), json!(distribution(&page.delay)));
}

/// Connections that came to nothing in the queue.
pub(super) fn abandoned(page: &Page) -> Value {
    let beside = |one: Beside| page.totals.beside[one as usize];
    json!({
        "reset": beside(Beside::AbandonedReset),
        "fin": beside(Beside::AbandonedFin),
        "at_close": beside(Beside::KilledAtClose),
        "depth_at_close": page.closed.map(|(_, closed)| closed.depth),
    })
}

/// The connections queued now; null: none.
pub(super) fn still_queued(page: &Page, time_ns: u64) -> Value {
    page.still_queued(time_ns).map_or(Value::Null, |queued| {
        json!({
            "count": queued.count,
            "oldest_us": queued.oldest_ns.map(|oldest_ns| oldest_ns / 1000),
            "at_least": queued.at_least,
        })
    })
}

/// How long anything was queued, in parts of the time that the listener was seen.
pub(super) fn busy(page: &Page, time_ns: u64) -> Value {
    let end_ns = page.closed.map_or(time_ns, |(closed_ns, _)| closed_ns);
    let elapsed_ns = end_ns.saturating_sub(page.first_seen_ns);
    if elapsed_ns == 0 || page.totals.accepted == 0 {
        return Value::Null;
    }
    json!((1.0 - page.idle_ns as f64 / elapsed_ns as f64).clamp(0.0, 1.0))
}

/// The runs of drops.
pub(super) fn episodes(clock: &Clock, page: &Page) -> Value {
    let one = |episode: &Episode| {
        let Episode { begin_ns, last_ns, packets, unrecorded: _, clients, acceptor } = episode;
        json!({
            "begin": time(clock, *begin_ns),
            "end": time(clock, *last_ns),
            "packets": packets,
            "clients": clients,
            "acceptor": acceptor.as_deref().map(doing),
        })
    };
    let kept: Vec<Value> = page.episodes.kept().iter().map(one).collect();
    json!({"count": page.episodes.count(), "kept": kept})
}

/// What acceptors were doing.
pub(super) fn doing(acceptor: &Acceptor) -> Value {
    let Acceptor {
        listener,
        process,
        looked_after_ns,
        last_accept_ns,
        accepted_since_ns,
        tid,
        processes,
        threads,
        doing,
        cpu_ns,
        cpu_over_ns,
        seen_accepting,
        gone,
        idle,
        holder,
    } = acceptor;
    let one = |one: &Doing| {
        let Doing { state, wchan, threads } = one;
        json!({"state": state, "wchan": wchan, "threads": threads})
    };
    json!({
        "listener": listener,
        "occasion": if *idle { "idle" } else { "drops" },
        "process": process,
        "looked_after_us": looked_after_ns / 1000,
        "last_accept_us": last_accept_ns.map(|before| before / 1000),
        "accepted_since_us": accepted_since_ns.map(|since| since / 1000),
        "tid": tid,
        "processes": processes,
        "threads": threads,
        "doing": doing.iter().map(one).collect::<Vec<_>>(),
        "cpu_us": cpu_ns.map(|cpu| cpu / 1000),
        "cpu_over_us": cpu_over_ns.map(|over| over / 1000),
        "seen_accepting": seen_accepting,
        "gone": gone,
        "holder": holder,
        "text": sentence(acceptor),
    })
}

/// The verdict.
pub(super) fn sizing(clock: &Clock, sizing: &Sizing) -> Value {
    let Sizing {
        verdict,
        confidence,
        backlog,
        somaxconn,
        smallest_limit,
        largest_backlog,
        headroom_percent,
        needed_depth,
        needed_syn_queue,
        cookies,
        wait_ns,
        memory_bytes,
        accept_rate,
        needed_rate,
        times,
        since_ns,
        lasted_ns,
        restart,
        estimated_clients,
        why,
    } = sizing;
    json!({
        "verdict": verdict.name(),
        "confidence": confidence.name(),
        "backlog": backlog,
        "somaxconn": somaxconn,
        "smallest_limit": smallest_limit,
        "largest_backlog": largest_backlog,
        "headroom_percent": headroom_percent,
        "needed_depth": needed_depth,
        "needed_syn_queue": needed_syn_queue,
        "cookies": cookies.map(Cookies::name),
        "wait_us": wait_ns.map(|wait| wait / 1000),
        "memory_bytes": memory_bytes,
        "accept_rate": accept_rate,
        "needed_rate": needed_rate,
        "times_present_rate": times,
        "since": since_ns.map(|since| time(clock, since)),
        "lasted_us": lasted_ns.map(|lasted| lasted / 1000),
        "restart": restart,
        "estimated_clients": estimated_clients,
        "why": why,
    })
}
