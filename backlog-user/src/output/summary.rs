//! The summary as text: the counts, peak, drops and histograms of each listener with activity,
//! followed by what is unknown.

use std::fmt::Write as _;

use backlog_core::clock::Clock;
use backlog_core::event::Listener;
use backlog_core::model::Model;
use backlog_core::model::distribution::Distribution;
use backlog_core::model::group::words as groups;
use backlog_core::model::group::{self, Group};
use backlog_core::model::interval::Waits;
use backlog_core::model::page::PeakUse;
use backlog_core::model::reconcile;
use backlog_core::model::summary::Summary;
use backlog_core::run::End;
use backlog_core::text::format::{clock_time, duration, plural};
use backlog_core::text::owner_text;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::record::Kind;
use jiff::tz::TimeZone;

use super::histogram::{self, Row};
use super::text_block::TextBlock;
use super::{advice, reconciled};

/// Renders the whole summary.
pub(crate) fn render(
    zone: &TimeZone,
    clock: &Clock,
    model: &Model,
    summaries: &[Summary<'_>],
    end: &End,
) -> String {
    let mut text = String::new();
    let seconds = end.elapsed_ns as f64 / 1e9;
    let idle = summaries.iter().filter(|summary| !summary.active()).count() as u64;
    let idle = idle.saturating_add(model.gone().idle);
    let _ = writeln!(text, "\nSummary of {seconds:.1} s");
    for summary in summaries.iter().filter(|summary| summary.active()) {
        listener(&mut text, zone, clock, model, summary, end);
    }
    for members in group::groups(summaries) {
        if groups::is_shown(model, &members) {
            group(&mut text, model, &members, end.time_ns);
        }
    }
    if summaries.is_empty() && idle == 0 {
        let _ = writeln!(text, "\nNo listener was seen.");
    } else if summaries.iter().all(|summary| !summary.active()) {
        let _ = writeln!(text, "\nNo connection and no drop at {}.", plural(idle, "listener"));
    } else if idle > 0 {
        let were = if idle == 1 { "was" } else { "were" };
        let _ = writeln!(text, "\n{} {were} idle.", plural(idle, "more listener"));
    }
    reconciled::render(&mut text, end);
    unknown(&mut text, model, end);
    text
}

fn listener(
    text: &mut String,
    zone: &TimeZone,
    clock: &Clock,
    model: &Model,
    summary: &Summary<'_>,
    end: &End,
) {
    let page = summary.page;
    let totals = &page.totals;
    let limit = page.listener.limit;
    let _ = writeln!(text, "\n{}  limit {limit}", page.name());
    owner_lines(text, &page.listener);
    if let Some(before) = page.follows.and_then(|id| model.get(id))
        && let Some((closed_ns, _)) = before.closed
    {
        let _ = writeln!(
            text,
            "  history      opened again {} after its address was closed at {}",
            duration(page.first_seen_ns.saturating_sub(closed_ns) / 1000),
            clock_time(zone, clock.wall(closed_ns), 6),
        );
    }
    let _ = writeln!(
        text,
        "  connections  {} queued, {} accepted, {} in the queue at the end",
        totals.enqueued,
        totals.accepted,
        page.depth(),
    );
    if let Some(peak_ns) = summary.peak_ns {
        let at = clock_time(zone, clock.wall(peak_ns), 6);
        let _ = writeln!(text, "  peak         {} at {at}", summary.peak_of_limit());
    }
    syn_queue(text, zone, clock, model, summary);
    let _ = writeln!(text, "  drops        {}", drops(summary));
    if let Some(verdict) = reconcile::of_listener(page).filter(reconcile::CounterCheck::moved) {
        let _ = writeln!(text, "  sk_drops     {}", reconciled::compared(&verdict, &end.blind));
    }
    if let Some(waits) = Waits::of(&page.wait) {
        let _ = writeln!(
            text,
            "  wait         p50 {}, p90 {}, p99 {}, max {}",
            duration(waits.p50),
            duration(waits.p90),
            duration(waits.p99),
            duration(waits.max),
        );
    }
    if let Some(still) = advice::still_queued(page, end.time_ns) {
        let _ = writeln!(text, "  waiting      {still}");
    }
    if totals.accepts_without_wait > 0 {
        let at_least = page
            .at_least_us
            .filter(|us| *us > 0)
            .map_or(String::new(), |us| format!("; one waited at least {}", duration(us)));
        let _ = writeln!(
            text,
            "  not timed    {} queued before the start{at_least}",
            plural(totals.accepts_without_wait, "connection"),
        );
    }
    if totals.enqueue_missed > 0 {
        let _ = writeln!(
            text,
            "  not seen     {} whose enqueue was missed: no depth and no wait",
            plural(totals.enqueue_missed, "connection"),
        );
    }
    for beside in Beside::ALL {
        let count = totals.beside[beside as usize];
        if count > 0 {
            let _ = writeln!(text, "  events       {} {count}", beside.name());
        }
    }
    if let Some((closed_ns, closed)) = page.closed {
        let _ = writeln!(
            text,
            "  closed       at {} with {} and {} in its queues",
            clock_time(zone, clock.wall(closed_ns), 6),
            plural(closed.depth.into(), "connection"),
            plural(closed.syn_queue.into(), "request"),
        );
    }
    lost(text, summary);
    text.push_str(&advice::render(zone, clock, model, page, end));
    section(
        text,
        "depth at arrival",
        "depth",
        &page.depth,
        totals.enqueued.saturating_sub(totals.enqueue_missed),
    );
    peak_use(text, &page.peak_use);
    let timed = totals
        .accepted
        .saturating_sub(totals.accepts_without_wait.saturating_add(totals.enqueue_missed));
    section(text, "accept latency", "microseconds", &page.wait, timed);
}

/// Who holds it, the requested backlog, and its container or unit.
fn owner_lines(text: &mut String, listener: &Listener) {
    if let Some(process) = owner_text::process(listener) {
        let _ = writeln!(text, "  process      {process}");
    }
    if let Some(owner) = &listener.identity.owner {
        let _ = writeln!(text, "               {}", owner_text::home(owner).join(", "));
    }
    if let Some(netns) = listener.identity.netns.as_deref().filter(|name| *name != "host") {
        let _ = writeln!(text, "  namespace    {}", owner_text::safe(netns));
    }
    match listener.call.as_ref().and_then(|call| Some((call, call.asked?))) {
        Some((call, asked)) => {
            let cut = owner_text::cut(call, listener.limit);
            let _ = writeln!(text, "  requested    {}", cut.unwrap_or_else(|| asked.to_string()));
        }
        None if listener.opened_now => {
            let _ =
                writeln!(text, "  requested    unknown: not passed through listen(2) (io_uring?)");
        }
        None => {
            let _ = writeln!(text, "  requested    unknown: opened before the start");
        }
    }
}

/// The share of each member, and whether one waits while others have room.
fn group(text: &mut String, model: &Model, group: &Group<'_>, time_ns: u64) {
    let Some(first) = group.members.first() else { return };
    let sum = group.enqueued();
    let _ = writeln!(
        text,
        "\nSO_REUSEPORT group {}{}: {} ({} open), {}",
        first.page.listener.local,
        if group.replaced { " before a restart" } else { "" },
        plural(group.members.len() as u64, "member"),
        group.open(),
        plural(sum, "connection"),
    );
    if let Some(imbalance) = group.imbalance() {
        let _ = writeln!(text, "  imbalance    {imbalance:.2} (the busiest against the mean)");
    }
    let _ = writeln!(
        text,
        "  {:>6} {:>10} {:>6} {:>9} {:>6} {:>6}  PROCESS",
        "MEMBER", "CONN", "SHARE", "PEAK/LIM", "P99", "DROP"
    );
    let rows = groups::rows(model, group);
    for member in &rows {
        let page = member.page;
        let share = page.totals.enqueued as f64 * 100.0 / sum.max(1) as f64;
        let _ = writeln!(
            text,
            "  {:>6} {:>10} {:>5.1}% {:>9} {:>6} {:>6}  {}{}",
            page.member,
            page.totals.enqueued,
            share,
            format!("{}/{}", member.peak, page.listener.limit),
            Waits::of(&page.wait).map_or("-".into(), |waits| duration(waits.p99)),
            member.drops,
            groups::process(page).unwrap_or_else(|| "?".into()),
            if page.closed.is_some() { ", closed" } else { "" },
        );
    }
    let mut paragraphs = TextBlock::default();
    if let Some(more) = groups::not_listed(rows.len(), group) {
        paragraphs.labelled("  not listed   ", 15, &more);
    }
    for member in &group.members {
        if let Some(found) = model.unbalanced(member.page, time_ns) {
            paragraphs.labelled("  unbalanced   ", 15, &groups::unbalanced(&found));
        }
        if let Some(lost) = groups::closed(model, member.page) {
            paragraphs.labelled("  closed       ", 15, &lost);
        }
    }
    text.push_str(&paragraphs.into_text());
}

/// The length of the SYN queue, its limit, and whether cookies were sent because it was full.
fn syn_queue(
    text: &mut String,
    zone: &TimeZone,
    clock: &Clock,
    model: &Model,
    summary: &Summary<'_>,
) {
    let page = summary.page;
    let totals = &page.totals;
    let cookies = totals.beside[Beside::SynCookieSent as usize];
    if totals.syn_queue_peak == 0 && cookies == 0 {
        return;
    }
    let at = match totals.syn_queue_peak_ns {
        0 => String::new(),
        peak_ns => format!(" at {}", clock_time(zone, clock.wall(peak_ns), 6)),
    };
    let _ =
        writeln!(text, "  SYN queue    {} of {}{at}", totals.syn_queue_peak, page.listener.limit);
    let set = model.settings_of(page.listener.netns).copied().unwrap_or_default();
    // The last-quarter rule only applies without cookies.
    if let (Some(0), Some(most)) = (set.syncookies, set.tcp_max_syn_backlog) {
        let _ = writeln!(
            text,
            "               tcp_syncookies=0, tcp_max_syn_backlog={most}:\n               \
             SYNs of unknown clients are dropped once {} requests are pending",
            most - most / 4 + 1,
        );
    }
    if cookies > 0 {
        let always = if set.syncookies == Some(2) { " (tcp_syncookies=2: always)" } else { "" };
        let _ = writeln!(
            text,
            "               SYN cookies were sent for {}{always}",
            plural(cookies, "SYN")
        );
    }
}

fn drops(summary: &Summary<'_>) -> String {
    if summary.drops == 0 {
        return "none".into();
    }
    let without_record = summary.page.totals.records_suppressed;
    // A packet that was only counted may be from another client.
    let least = if summary.page.has_every_client() { "" } else { "at least " };
    let mut text = format!(
        "{} of {least}{}",
        plural(summary.drops, "packet"),
        plural(summary.page.clients(), "client")
    );
    if without_record > 0 {
        let _ = write!(
            text,
            "\n               {without_record} without a record: several at once, or beyond --drop-records"
        );
    }
    for cause in Cause::ALL {
        let count = summary.page.totals.drops[cause as usize];
        if count > 0 {
            let _ = write!(text, "\n               {} {count}", cause.name());
        }
    }
    text
}

/// A histogram, and how much of what was counted it contains.
fn section(text: &mut String, title: &str, unit: &str, values: &Distribution, counted: u64) {
    let rows = histogram::rows(&values.buckets());
    if rows.is_empty() {
        return;
    }
    let seen = values.count();
    let of = if seen == counted { String::new() } else { format!(" ({seen} of {counted})") };
    let _ = write!(text, "\n  {title}{of}\n{}", histogram::render(unit, &rows));
}

fn peak_use(text: &mut String, uses: &PeakUse) {
    let last = uses.0.iter().rposition(|count| *count > 0).unwrap_or(0);
    if last == 0 {
        return;
    }
    let rows: Vec<Row> = uses.0[..=last]
        .iter()
        .enumerate()
        .map(|(index, count)| Row {
            range: match index {
                0 => "0".into(),
                11 => "above 100".into(),
                _ => format!("{} -> {}", (index - 1) * 10 + 1, index * 10),
            },
            count: *count,
        })
        .collect();
    let _ = write!(text, "\n  peak use per interval\n{}", histogram::render("% of limit", &rows));
}

fn lost(text: &mut String, summary: &Summary<'_>) {
    if summary.lost > 0 {
        let kinds: Vec<String> = Kind::ALL
            .iter()
            .filter(|kind| summary.lost_of(**kind) > 0)
            .map(|kind| format!("{} {}", kind.name(), summary.lost_of(*kind)))
            .collect();
        let _ = writeln!(
            text,
            "  lost         {} found the ring buffer full: {}\n               counts and \
             histograms are complete, per-drop lines are missing",
            plural(summary.lost, "record"),
            kinds.join(", "),
        );
    }
    let pending_overflow = summary.page.totals.pending_overflow;
    if pending_overflow > 0 {
        let _ = writeln!(
            text,
            "  lost         {} not timed: too many were queued at once",
            plural(pending_overflow, "connection"),
        );
    }
}

fn unknown(text: &mut String, model: &Model, end: &End) {
    let End { stray, decode_errors, missed, .. } = end;
    let mut say = |count: u64, noun: &str, what: &str| {
        if count > 0 {
            let _ = writeln!(text, "{} {what}.", plural(count, noun));
        }
    };
    say(stray.no_slot, "event", "not attributed: the table of listeners was full");
    say(stray.closed, "event", "not attributed: their listener had just closed");
    say(stray.accepts, "accept", "not attributed: the listener of the connection is unknown");
    say(stray.drops, "refused packet", "not attributed: the listener is unknown");
    let first = "may have been dropped uncounted: the first on its CPU in a network namespace whose \
                 counters were unknown at the start";
    say(stray.hidden, "packet", first);
    say(*decode_errors, "record", "could not be read");
    say(missed.unwrap_or(0), "event", "missed by programs that ran already on that CPU");
    say(model.gone().active, "summary", "left out: listeners that closed early in a long run");
    let ended = model.ended();
    let short_lived = "ended before the kernel's counters were read: not compared";
    say(ended.uncompared, "network namespace", short_lived);
    let refused = format!(
        "ended with more seen after the last comparison, which was equal: {}",
        plural(ended.unread_drops, "refused packet")
    );
    say(ended.unread, "network namespace", &refused);
    let forgotten = model.clients_forgotten();
    say(forgotten, "client", "forgotten: a retry of theirs counts as another client");
    if let Some(command) = &end.command {
        let _ = writeln!(text, "{command}.");
    }
    if let Some(why) = &end.recording_incomplete {
        let _ = writeln!(text, "Incomplete: {why}.");
    }
}
