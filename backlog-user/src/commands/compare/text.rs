//! Prints the comparison: a table for each address, and a sentence.

use std::fmt::Write as _;

use backlog_core::compare::words::{conclusion, percent, with_rate};
use backlog_core::compare::{Pair, Place, Run, pairs};
use backlog_core::model::clients::UnadmittedClients;
use backlog_core::model::interval::Waits;
use backlog_core::text::format::{duration, plural};
use backlog_core::text::owner_text::safe;
use jiff::tz::TimeZone;

use super::Recorded;
use crate::output::text_block::TextBlock;

/// Renders it.
pub(super) fn render(zone: &TimeZone, before: &Recorded, after: &Recorded) -> String {
    let mut text = TextBlock::default();
    head(&mut text, zone, "before", before);
    head(&mut text, zone, "after", after);
    let pairs = pairs(&before.run, &after.run);
    if pairs.is_empty() {
        text.blank();
        text.title("Neither run has a listener where anything happened.");
    }
    for pair in &pairs {
        table(&mut text, pair, &before.run, &after.run);
    }
    text.into_text()
}

/// A line like `before  web.zst: web1, 2026-11-30 21:04:05, 60.0 s`.
fn head(text: &mut TextBlock, zone: &TimeZone, label: &str, one: &Recorded) {
    let host = one.meta.host.as_deref().unwrap_or("a host");
    let began = zone.to_datetime(one.began).strftime("%Y-%m-%d %H:%M:%S");
    let seconds = one.run.elapsed_ns as f64 / 1e9;
    let mut line = format!("{}: {}, {began}, {seconds:.1} s", one.file, safe(host));
    if one.cut_off {
        line += ", as far as the recording goes: it has no end";
    }
    if one.run.evicted > 0 {
        let _ = write!(line, "; without {} that had closed", plural(one.run.evicted, "listener"));
    }
    text.labelled(&format!("{label:<8}"), 8, &line);
}

fn table(text: &mut TextBlock, pair: &Pair<'_>, before: &Run, after: &Run) {
    text.blank();
    text.title(&name(pair));
    text.line(&format!("  {:<22} {:>26} {:>26}", "", "before", "after"));
    let mut row = |label: &str, cell: &dyn Fn(&Place, &Run) -> String| {
        let of =
            |place: Option<&Place>, run| place.map_or("-".to_owned(), |place| cell(place, run));
        let (left, right) = (of(pair.before, before), of(pair.after, after));
        text.line(&format!("  {label:<22} {left:>26} {right:>26}"));
    };
    let any = |what: fn(&Place) -> bool| [pair.before, pair.after].into_iter().flatten().any(what);
    if any(|place| place.listeners > 1) {
        row("listeners", &|place, _| match place.listeners - place.open {
            0 => place.listeners.to_string(),
            closed => format!("{} ({closed} closed)", place.listeners),
        });
    }
    row("limit", &|place, _| match place.limits {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low} to {high}"),
    });
    row("connections", &|place, run| with_rate(place.enqueued, run.elapsed_ns));
    row("refused packets", &|place, run| with_rate(place.drops, run.elapsed_ns));
    if any(|place| place.clients > 0) {
        row("refused clients", &|place, _| {
            let least = if place.every_client { "" } else { "at least " };
            let share = place.refused_share().map_or(String::new(), |share| {
                if place.clients > 0 { format!(" ({})", percent(share)) } else { String::new() }
            });
            format!("{least}{}{share}", place.clients)
        });
        row("  gave up or were reset", &|place, _| {
            let UnadmittedClients { gave_up, reset, .. } = place.unadmitted;
            gave_up.saturating_add(reset).to_string()
        });
        row("  unknown, or trying", &|place, _| {
            let UnadmittedClients { trying, unknown, .. } = place.unadmitted;
            trying.saturating_add(unknown).to_string()
        });
        row("episodes of refusals", &|place, _| place.episodes.to_string());
    }
    row("deepest queue", &|place, _| {
        let (depth, limit) = place.peak;
        format!("{depth} of {limit} ({} %)", backlog_core::text::format::percent(depth, limit))
    });
    for (label, of) in [
        ("accept latency p50", (|waits| waits.p50) as fn(&Waits) -> u64),
        ("               p99", |waits| waits.p99),
        ("               max", |waits| waits.max),
    ] {
        row(label, &|place, _| {
            Waits::of(&place.wait).map_or("-".to_owned(), |waits| duration(of(&waits)))
        });
    }
    row("verdict", &|place, _| {
        let (verdict, confidence, _) = &place.verdict;
        format!("{} ({})", verdict.name(), confidence.name())
    });
    text.item(2, &conclusion(pair, before, after));
}

/// The address, or both addresses if only the port is the same.
fn name(pair: &Pair<'_>) -> String {
    let one = |place: &Place| {
        let netns =
            place.netns.as_deref().map_or(String::new(), |name| format!(" in {}", safe(name)));
        format!("{}{netns}", place.local)
    };
    match (pair.before.map(one), pair.after.map(one)) {
        (Some(before), Some(after)) if before != after => format!("{before}, {after}"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => String::new(),
    }
}
