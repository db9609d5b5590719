//! JSON lines: the contract of docs/JSON.md. Additive changes only; otherwise
//! [`SCHEMA`] counts up.

mod accepts;
mod advice;
mod refusal;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::{AcceptErrors, Acceptor, Closed, Limit, Netns};
use backlog_core::model::group::{self, Group};
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;
use backlog_core::model::reconcile::{self, Account, Blind, CounterCheck};
use backlog_core::model::summary::Summary;
use backlog_core::model::{Model, Refusal};
use backlog_core::run::{End, Meta};
use backlog_ebpf::cause::Cause;
use backlog_ebpf::record::Kind;
use serde_json::{Map, Value, json};

use super::sink::{Now, Sink, Update};
use refusal::DropLine;
use values::{
    besides, causes, cost, distribution, reasons, reconciled, settings, syn_queue, time, verdicts,
    waits,
};

/// The version of the contract.
const SCHEMA: u32 = 1;

/// Writes JSON lines.
pub(crate) struct Json<W> {
    out: W,
    /// Rows of idle listeners as well.
    idle_rows: bool,
    /// The last printed line of each network namespace.
    said: HashMap<Netns, Vec<CounterCheck>>,
}

impl<W: Write> Json<W> {
    /// A view that writes here.
    pub(crate) fn new(out: W, idle_rows: bool) -> Self {
        Self { out, idle_rows, said: HashMap::new() }
    }

    fn line(&mut self, clock: &Clock, kind: &str, time_ns: u64, value: Value) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("type".into(), kind.into());
        line.insert("time".into(), time(clock, time_ns).into());
        line.insert("mono_ns".into(), time_ns.into());
        if let Value::Object(fields) = value {
            line.extend(fields);
        }
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }
}

/// `listener` in a line of an event is its number; in `listener` and `summary` it
/// is the whole.
impl<W: Write> Sink for Json<W> {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(meta) => self.start(clock, meta),
            Update::Listener { time_ns, page } => self.listener(clock, time_ns, page),
            Update::Closed { time_ns, page, closed } => self.closed(clock, time_ns, page, closed),
            Update::Limit { time_ns, page, limit } => self.limit(clock, time_ns, page, limit),
            Update::Refused(refusal) => self.refused(clock, model, refusal),
            Update::Acceptor { time_ns, acceptor } => self.acceptor(clock, time_ns, acceptor),
            Update::AcceptErrors { time_ns, errors, is_new } => {
                self.accept_errors(clock, time_ns, errors, is_new)
            }
            Update::ClockSet { time_ns, step_ns } => self.clock_set(clock, time_ns, step_ns),
            Update::Interval { time_ns, rows } => self.interval(clock, time_ns, model, rows),
            Update::Reconciled { time_ns, accounts, blind } => {
                self.said.retain(|netns, _| model.knows_namespace(*netns));
                self.reconciled(clock, time_ns, accounts, blind)
            }
            Update::Flush => self.flush(),
            Update::End { summaries, end } => self.end(clock, model, summaries, end),
            Update::Notice(_) => Ok(()),
        }
    }
}

impl<W: Write> Json<W> {
    fn start(&mut self, clock: &Clock, meta: &Meta) -> io::Result<()> {
        let Meta { time_ns, kernel, backend, hooks, options, .. } = meta;
        let bounds = meta.bounds();
        let Meta { version, host, reasons, gaps, bpf_stats, .. } = meta;
        let mut by_moment: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for hook in hooks {
            by_moment.entry(&hook.moment).or_default().push(&hook.how);
        }
        let by_moment: BTreeMap<_, _> =
            by_moment.into_iter().map(|(moment, hows)| (moment, hows.join(" + "))).collect();
        let mut value = json!({
            "schema": SCHEMA,
            "version": version,
            "host": host,
            "kernel": kernel,
            "backend": backend.name(),
            "hooks": by_moment,
            "reasons": reasons,
            "gaps": gaps,
            "bpf_stats": bpf_stats,
            "options": options,
            "traced": {
                "namespaces": bounds.namespaces,
                "least": settings(Some(&bounds.least)),
                "most": settings(Some(&bounds.most)),
            },
        });
        if let (Value::Object(fields), Value::Object(set)) =
            (&mut value, settings(Some(&bounds.common())))
        {
            fields.extend(set);
        }
        self.line(clock, "meta", *time_ns, value)?;
        self.out.flush()
    }

    fn listener(&mut self, clock: &Clock, time_ns: u64, page: &Page) -> io::Result<()> {
        let mut value = values::listener(&page.listener);
        value["follows"] = json!(page.follows);
        self.line(clock, "listener", time_ns, value)
    }

    fn closed(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        page: &Page,
        closed: &Closed,
    ) -> io::Result<()> {
        let Closed { depth, syn_queue, .. } = closed;
        let value = json!({"listener": page.listener.id, "depth": depth, "syn_queue": syn_queue});
        self.line(clock, "closed", time_ns, value)
    }

    fn limit(&mut self, clock: &Clock, time_ns: u64, page: &Page, limit: &Limit) -> io::Result<()> {
        let Limit { now: limit, was, depth, call, listener: _, opens: _ } = limit;
        let asked = call.as_ref().and_then(|call| call.asked);
        let value = json!({
            "listener": page.listener.id,
            "limit": limit,
            "was": was,
            "depth": depth,
            "asked": asked,
            "somaxconn": call.as_ref().and_then(|call| call.somaxconn),
            "clamped": call.as_ref().and_then(|call| call.asked.map(|_| call.is_cut(*limit))),
            "process": call.as_ref().and_then(|call| call.caller.as_ref()),
        });
        self.line(clock, "limit", time_ns, value)
    }

    fn refused(&mut self, clock: &Clock, _: &Model, refusal: &Refusal) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &DropLine::of(clock, refusal))?;
        self.out.write_all(b"\n")
    }

    fn acceptor(&mut self, clock: &Clock, time_ns: u64, acceptor: &Acceptor) -> io::Result<()> {
        self.line(clock, "acceptor", time_ns, advice::doing(acceptor))
    }

    fn accept_errors(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        errors: &AcceptErrors,
        _: bool,
    ) -> io::Result<()> {
        if !errors.says_something() {
            return Ok(());
        }
        self.line(clock, "accept_errors", time_ns, accepts::errors(clock, errors))
    }

    fn clock_set(&mut self, clock: &Clock, time_ns: u64, step_ns: i128) -> io::Result<()> {
        self.line(clock, "clock", time_ns, json!({"step_s": step_ns as f64 / 1e9}))
    }

    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        model: &Model,
        rows: &[Interval],
    ) -> io::Result<()> {
        let idle_rows = self.idle_rows;
        for row in rows.iter().filter(|row| idle_rows || row.active()) {
            let judged = model.get(row.listener).and_then(reconcile::of_listener);
            let value = json!({
                "listener": row.listener,
                "enqueued": row.enqueued,
                "accepted": row.accepted,
                "depth": row.depth,
                "peak": row.peak,
                "limit": row.limit,
                "drops": row.dropped(),
                "drops_by_cause": causes(&row.drops),
                "beside": besides(&row.beside),
                "reconciled": verdicts(judged.as_slice()),
                "wait_us": waits(row.wait.as_ref()),
            });
            self.line(clock, "interval", time_ns, value)?;
        }
        self.out.flush()
    }

    fn reconciled(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        accounts: &[Account],
        blind: &Blind,
    ) -> io::Result<()> {
        for Account { netns, verdicts: judged, unread_drops } in accounts {
            let said = self.said.insert(*netns, judged.clone());
            // Only where anything is new.
            if said.as_ref() == Some(judged) || !judged.iter().any(CounterCheck::moved) {
                continue;
            }
            let value = json!({
                "netns": netns.inode(),
                "netns_id": netns.identity(),
                "reconciled": verdicts(judged),
                "unread_drops": unread_drops,
                "differs": reasons(judged, blind),
            });
            self.line(clock, "namespace", time_ns, value)?;
        }
        self.out.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(
        &mut self,
        clock: &Clock,
        model: &Model,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let groups: Vec<Group<'_>> = group::groups(summaries).collect();
        for summary in summaries {
            let page = summary.page;
            let mut drops = Map::new();
            drops.insert("total".into(), summary.drops.into());
            advice::clients(&mut drops, model, page, end.time_ns);
            drops.insert("only_counted".into(), page.totals.unrecorded.into());
            drops.insert("uncounted".into(), page.totals.uncounted.into());
            for cause in Cause::ALL {
                drops.insert(cause.name().into(), page.totals.drops[cause as usize].into());
            }
            let lost: BTreeMap<_, _> =
                Kind::ALL.iter().map(|kind| (kind.name(), summary.lost_of(*kind))).collect();
            let peak_time = summary.peak_ns.map(|peak_ns| time(clock, peak_ns));
            let mut listener = values::listener(&page.listener);
            listener["follows"] = json!(page.follows);
            let unbalanced = model.unbalanced(page, end.time_ns);
            listener["group"] = values::group(model, &groups, summary, unbalanced.as_ref());
            let value = json!({
                "listener": listener,
                "last_accept": page.last_accept.map(|last| json!({
                    "time": time(clock, last.time_ns), "pid": last.pid, "tid": last.tid,
                })),
                "elapsed_s": end.elapsed_ns as f64 / 1e9,
                "enqueued": page.totals.enqueued,
                "accepted": page.totals.accepted,
                "queued": page.depth(),
                "untimed": page.totals.untimed,
                "untracked": page.totals.untracked,
                "unseen": page.totals.unseen,
                "waited_at_least_us": page.at_least_us,
                "beside": besides(&page.totals.beside),
                "peak": {"depth": summary.peak, "time": peak_time},
                "syn_queue_peak": page.totals.syn_queue_peak,
                "syn_queue": syn_queue(clock, model, summary),
                "depth": distribution(&page.depth),
                "wait_us": distribution(&page.wait),
                "peak_use": page.peak_use.0,
                "drops": drops,
                "reconciled": reconciled(summary, &end.accounts),
                "lost_records": summary.lost,
                "lost_by_kind": lost,
                "abandoned": advice::abandoned(page),
                "accepts": accepts::by_worker(page),
                "accept_errors": accepts::all_errors(clock, &page.accept_errors),
                "idle": page.idle.as_deref().map(advice::doing),
                "busy": advice::busy(page, end.time_ns),
                "episodes": advice::episodes(clock, page),
                "still_queued": advice::still_queued(summary.page, end.time_ns),
                "sizing": advice::sizing(clock, &model.sizing(page, end.time_ns)),
            });
            self.line(clock, "summary", end.time_ns, value)?;
        }
        for Account { netns, verdicts: judged, unread_drops } in &end.accounts {
            let value = json!({
                "netns": netns.inode(),
                "netns_id": netns.identity(),
                "settings": settings(model.settings_of(*netns)),
                "reconciled": verdicts(judged),
                "unread_drops": unread_drops,
                "differs": reasons(judged, &end.blind),
            });
            self.line(clock, "namespace", end.time_ns, value)?;
        }
        let value = json!({
            "elapsed_s": end.elapsed_ns as f64 / 1e9,
            "listeners": summaries.len(),
            "events_without_slot": end.stray.no_slot,
            "events_at_closed": end.stray.closed,
            "accepts_without_listener": end.stray.accepts,
            "drops_without_listener": end.stray.drops,
            "drops_possibly_uncounted": end.stray.hidden,
            "undecoded_records": end.undecoded,
            "missed_by_programs": end.missed,
            "clients_forgotten": model.clients_forgotten(),
            "closed_without_event": model.gone().idle,
            "summaries_left_out": model.gone().active,
            "namespaces_ended": model.ended(),
            "recording_incomplete": end.unrecorded,
            "cmd": end.command,
            "cost": cost(&end.cost),
        });
        self.line(clock, "end", end.time_ns, value)?;
        self.out.flush()
    }
}
