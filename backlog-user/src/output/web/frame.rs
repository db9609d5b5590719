//! What the page shows at the end of an interval, as JSON. It is only built while a browser has the
//! page open.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use backlog_core::event::ListenerId;
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;
use backlog_core::model::sizing::Verdict;
use backlog_core::model::summary::Summary;
use backlog_core::run::Meta;
use backlog_core::text::format::percent;
use backlog_core::text::owner_text::{self, safe};
use bytes::Bytes;
use serde::Serialize;

use super::latest::{Drop, Latest, Notice};
use crate::output::about;
use crate::output::sink::Now;

/// The maximum number of listed listeners; the others are counted.
const LISTED: usize = 60;

/// How often verdicts are renewed; drops renew them at once. The number per interval is bounded.
const RENEWED_EVERY_NS: u64 = 10_000_000_000;
const RENEWED_AT_ONCE: usize = 20;

/// The run, and the results that frames reuse.
#[derive(Default)]
pub(super) struct Frames {
    run: Run,
    known: BTreeMap<ListenerId, Known>,
}

/// Data that does not change during a run.
#[derive(Clone, Debug, Default, Serialize)]
struct Run {
    /// Distinguishes runs, since the IDs of listeners start again.
    id: String,
    host: Option<String>,
    kernel: String,
    backend: &'static str,
    version: String,
    interval_ms: u64,
}

/// The verdict on a listener, and the lines about it.
#[derive(Clone, Debug, Serialize)]
struct Known {
    #[serde(skip)]
    time_ns: u64,
    verdict: &'static str,
    /// Its style: `good`, `bad` or `open`.
    mood: &'static str,
    about: Vec<String>,
}

#[derive(Serialize)]
struct Frame<'a> {
    run: &'a Run,
    time_ms: i64,
    listeners: Vec<Row<'a>>,
    /// The number of open listeners that are not listed.
    left_out: usize,
    /// Packets refused in the interval, at all listeners.
    dropped: u64,
    drops: &'a VecDeque<Drop>,
    notices: &'a VecDeque<Notice>,
    notices_left_out: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    id: u32,
    name: String,
    owner: Option<String>,
    depth: u32,
    peak: u32,
    limit: u32,
    percent: u64,
    /// Connections queued and accepted per second.
    queued: f64,
    accepted: f64,
    /// In microseconds; None if nothing was accepted.
    p99_us: Option<u64>,
    dropped: u64,
    drops: u64,
    #[serde(flatten)]
    known: Option<&'a Known>,
}

impl Frames {
    /// Starts a run.
    pub(super) fn begin(&mut self, meta: &Meta, interval_ms: u64) {
        self.known.clear();
        self.run = Run {
            id: meta.time_ns.to_string(),
            host: meta.host.as_deref().map(safe),
            kernel: safe(&meta.kernel),
            backend: meta.backend.name(),
            version: meta.version.clone(),
            interval_ms,
        };
    }

    /// Renders the frame of an interval with these rows.
    pub(super) fn render(
        &mut self,
        now: Now<'_>,
        (time_ns, wall_ms): (u64, i64),
        rows: &[Interval],
        latest: &Latest,
    ) -> Bytes {
        let mut open: Vec<(&Page, &Interval)> = rows
            .iter()
            .filter_map(|row| Some((now.model.get(row.listener)?, row)))
            .filter(|(page, _)| page.closed.is_none())
            .collect();
        let dropped = rows.iter().map(Interval::dropped).sum();
        open.sort_by_cached_key(|(page, row)| order(page, row));
        let left_out = open.len().saturating_sub(LISTED);
        open.truncate(LISTED);
        self.renew(now, time_ns, &open);
        let frame = Frame {
            run: &self.run,
            time_ms: wall_ms,
            listeners: open.iter().map(|(page, row)| self.row(page, row)).collect(),
            left_out,
            dropped,
            drops: &latest.drops,
            notices: &latest.notices,
            notices_left_out: latest.notices_left_out,
        };
        // Serialising our own strings and numbers cannot fail.
        serde_json::to_vec(&frame).unwrap_or_default().into()
    }

    /// Renews the verdicts of listed listeners, the oldest first, and evicts the others.
    fn renew(&mut self, now: Now<'_>, time_ns: u64, listed: &[(&Page, &Interval)]) {
        let mut known = std::mem::take(&mut self.known);
        let mut due = Vec::new();
        for (page, row) in listed {
            let id = page.listener.id;
            let old = known.remove(&id);
            let since_ns = old.as_ref().map(|old| time_ns.saturating_sub(old.time_ns));
            if row.dropped() > 0 || since_ns.is_none_or(|since_ns| since_ns >= RENEWED_EVERY_NS) {
                due.push((Reverse(since_ns.unwrap_or(u64::MAX)), id, *page));
            }
            self.known.extend(old.map(|old| (id, old)));
        }
        due.sort_by_key(|(since, id, _)| (*since, *id));
        for (_, id, page) in due.into_iter().take(RENEWED_AT_ONCE) {
            let summary = Summary::of(page);
            let sizing = now.model.sizing(page, time_ns);
            let about = about::lines(now.model, &summary, &sizing);
            let verdict = sizing.verdict;
            let mood = match verdict {
                Verdict::Fits => "good",
                Verdict::NotEnoughData => "open",
                _ => "bad",
            };
            self.known.insert(id, Known { time_ns, verdict: verdict.name(), mood, about });
        }
    }

    fn row(&self, page: &Page, row: &Interval) -> Row<'_> {
        Row {
            id: page.listener.id.0,
            name: page.full_name(),
            owner: owner_text::process(&page.listener),
            depth: row.depth,
            peak: row.peak,
            limit: row.limit,
            percent: percent(row.peak, row.limit),
            queued: row.rate(row.enqueued),
            accepted: row.rate(row.accepted),
            p99_us: row.wait.map(|wait| wait.p99),
            dropped: row.dropped(),
            drops: Summary::of(page).drops,
            known: self.known.get(&page.listener.id),
        }
    }
}

/// The fullest first, then those with drops, then the busiest.
fn order(page: &Page, row: &Interval) -> impl Ord + use<> {
    let drops: u64 = page.totals.drops.iter().sum();
    let used = Reverse(percent(row.peak, row.limit));
    (used, Reverse(drops), Reverse(page.totals.enqueued), page.listener.local, page.listener.id)
}
