//! Parts that several lines share.

use std::collections::BTreeMap;

use backlog_core::clock::Clock;
use backlog_core::event::{Identity, Listener};
use backlog_core::model::Model;
use backlog_core::model::distribution::{Bucket, Distribution};
use backlog_core::model::group::{AtClose, Group, Unbalanced};
use backlog_core::model::interval::Waits;
use backlog_core::model::reconcile::{self, Account, Blind, CounterCheck};
use backlog_core::model::summary::Summary;
use backlog_core::run::cost::{Cost, Cpu, ProgramCost};
use backlog_core::settings::Settings;
use backlog_ebpf::cause::{Beside, Cause};
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(Serialize)]
pub(super) struct DistributionLine {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
    buckets: Vec<BucketLine>,
}

#[derive(Serialize)]
pub(super) struct BucketLine {
    /// The largest value that belongs here; the smallest is the one above the
    /// bucket before.
    le: u64,
    /// Values in this bucket alone.
    count: u64,
}

/// RFC 3339, UTC, nanoseconds.
pub(super) fn time(clock: &Clock, time_ns: u64) -> String {
    format!("{:.9}", clock.wall(time_ns))
}

/// The identity of a listener; `follows` and, in a summary, `group` are added to it.
pub(super) fn listener(listener: &Listener) -> Value {
    let Identity { owner, cgroup, netns } = &listener.identity;
    let call = listener.call.as_ref();
    json!({
        "id": listener.id,
        "addr": listener.local.ip(),
        "port": listener.local.port(),
        "family": listener.family(),
        "v6only": listener.v6_only,
        "netns": listener.netns.inode(),
        "netns_id": listener.netns.identity(),
        "netns_name": netns,
        "inode": listener.inode,
        "cookie": listener.cookie,
        "limit": listener.limit,
        "asked": call.and_then(|call| call.asked),
        "somaxconn": call.and_then(|call| call.somaxconn),
        "clamped": listener.is_cut(),
        "depth": listener.depth,
        "reuseport": listener.reuseport,
        "process": listener.process(),
        "owner": owner,
        "cgroup": cgroup,
    })
}

pub(super) fn waits(waits: Option<&Waits>) -> Value {
    match waits {
        None => Value::Null,
        Some(Waits { p50, p90, p99, max }) => {
            json!({"p50": p50, "p90": p90, "p99": p99, "max": max})
        }
    }
}

pub(super) fn distribution(distribution: &Distribution) -> DistributionLine {
    let waits = Waits::of(distribution);
    let buckets = distribution
        .buckets()
        .into_iter()
        .map(|Bucket { high, count, low: _ }| BucketLine { le: high, count })
        .collect();
    DistributionLine {
        p50: waits.map(|waits| waits.p50),
        p90: waits.map(|waits| waits.p90),
        p99: waits.map(|waits| waits.p99),
        max: waits.map(|waits| waits.max),
        buckets,
    }
}

/// The SYN queue of a listener: how long it was, what bounds it, and how often cookies
/// took its place.
pub(super) fn syn_queue(clock: &Clock, model: &Model, summary: &Summary<'_>) -> Value {
    let page = summary.page;
    let totals = &page.totals;
    let set = model.settings_of(page.listener.netns).copied().unwrap_or_default();
    json!({
        "peak": totals.syn_queue_peak,
        "time": (totals.syn_queue_peak > 0).then(|| time(clock, totals.syn_queue_peak_ns)),
        "limit": page.listener.limit,
        "syncookies": set.syncookies,
        "tcp_max_syn_backlog": set.tcp_max_syn_backlog,
        "cookies": totals.beside[Beside::SynCookieSent as usize],
    })
}

/// Those that there were.
pub(super) fn causes(counts: &[u64; Cause::COUNT]) -> BTreeMap<&'static str, u64> {
    let all = Cause::ALL.iter().map(|cause| (cause.name(), counts[*cause as usize]));
    all.filter(|(_, count)| *count > 0).collect()
}

pub(super) fn besides(counts: &[u64; Beside::COUNT]) -> BTreeMap<&'static str, u64> {
    Beside::ALL.iter().map(|beside| (beside.name(), counts[*beside as usize])).collect()
}

/// The place of a listener in its `SO_REUSEPORT` group; null: it is in none.
pub(super) fn group(
    model: &Model,
    groups: &[Group<'_>],
    summary: &Summary<'_>,
    unbalanced: Option<&Unbalanced>,
) -> Value {
    let page = summary.page;
    let Some(group) = groups.iter().find(|group| group.has(page.listener.id)) else {
        return Value::Null;
    };
    let sum = group.enqueued();
    let share = (sum > 0).then(|| page.totals.enqueued as f64 / sum as f64);
    json!({
        "size": group.members.len(),
        "open": group.open(),
        "replaced": group.replaced,
        "member": page.member,
        "share": share,
        "imbalance": group.imbalance(),
        "most_idle_while_dropping": unbalanced.map(|found| found.idle),
        "with_room_while_dropping": unbalanced.map(|found| found.with_room),
        "unbalanced": unbalanced.map(evidence),
        "at_close": model.at_close(page).as_ref().map(at_close),
    })
}

fn at_close(at_close: &AtClose) -> Value {
    let AtClose { time_ns: _, queued, requests, moved, other_open, migrate_req } = *at_close;
    json!({
        "queued": queued,
        "syn_queue": requests,
        "moved": moved,
        "other_open": other_open,
        "tcp_migrate_req": migrate_req,
        "would_have_moved": at_close.would_have_moved(),
    })
}

/// The evidence that a member waits or drops while others have room.
fn evidence(found: &Unbalanced) -> Value {
    let Unbalanced { others, with_room, share, drops, others_drops, wait_us, .. } = *found;
    json!({
        "others": others,
        "with_room": with_room,
        "share": share,
        "drops": drops,
        "others_drops": others_drops,
        "wait_p99_us": wait_us,
        "others_wait_p99_us": found.others_wait_us.map(|(least, most)| [least, most]),
        "never_accepted": found.never_accepted,
        "stalled_us": found.stalled_ns.map(|stalled_ns| stalled_ns / 1000),
    })
}

pub(super) fn verdicts(verdicts: &[CounterCheck]) -> Map<String, Value> {
    let each = |verdict: &CounterCheck| {
        let CounterCheck { counter, kernel, seen } = verdict;
        ((*counter).to_owned(), json!({"kernel": kernel, "seen": seen}))
    };
    verdicts.iter().map(each).collect()
}

/// The verdicts on a listener's network namespace, and on itself.
pub(super) fn reconciled(summary: &Summary<'_>, accounts: &[Account]) -> Value {
    let netns = summary.page.listener.netns;
    let account = accounts.iter().find(|account| account.netns == netns);
    let mut both = account.map(|account| verdicts(&account.verdicts)).unwrap_or_default();
    both.extend(verdicts(reconcile::of_listener(summary.page).as_slice()));
    Value::Object(both)
}

/// Why the kernel and we say different things, for each counter where they do.
pub(super) fn reasons(verdicts: &[CounterCheck], blind: &Blind) -> Map<String, Value> {
    let differ = verdicts.iter().filter(|verdict| !verdict.agrees());
    differ
        .map(|verdict| (verdict.counter.to_owned(), reconcile::reasons(verdict, blind).into()))
        .collect()
}

pub(super) fn settings(settings: Option<&Settings>) -> Value {
    let Settings { somaxconn, tcp_max_syn_backlog, syncookies, abort_on_overflow, migrate_req } =
        settings.copied().unwrap_or_default();
    json!({
        "somaxconn": somaxconn,
        "tcp_max_syn_backlog": tcp_max_syn_backlog,
        "syncookies": syncookies,
        "abort_on_overflow": abort_on_overflow,
        "tcp_migrate_req": migrate_req,
    })
}

/// What tracing cost; null is not known.
pub(super) fn cost(cost: &Cost) -> Value {
    let program = |one: &ProgramCost| {
        let ProgramCost { program, hook, run } = one;
        json!({"program": program, "hook": hook, "runs": run.count, "run_ns": run.time_ns})
    };
    let programs = cost.programs.as_ref().map(|all| all.iter().map(program).collect::<Vec<_>>());
    let runs = cost.runs();
    json!({
        "elapsed_ns": cost.elapsed_ns,
        "cpu_user_us": cost.cpu.map(|cpu| cpu.user_us),
        "cpu_system_us": cost.cpu.map(|cpu| cpu.system_us),
        "cpu_before_us": cost.cpu_before.map(Cpu::sum_us),
        "rss_bytes": cost.memory.resident,
        "rss_anon_bytes": cost.memory.anonymous,
        "rss_peak_bytes": cost.memory.peak,
        "maps_bytes": cost.maps_bytes,
        "programs_bytes": cost.programs_bytes,
        "runs": runs.map(|runs| runs.count),
        "run_ns": runs.map(|runs| runs.time_ns),
        "programs": programs,
        "connections": cost.connections,
        "owners": {
            "looks": cost.looks.count,
            "elapsed_us": u64::try_from(cost.looks.elapsed.as_micros()).unwrap_or(u64::MAX),
            "processes": cost.looks.last.processes,
            "descriptors": cost.looks.last.descriptors,
            "unreadable": cost.looks.last.unreadable,
        },
    })
}
