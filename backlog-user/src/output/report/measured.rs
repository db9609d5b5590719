//! The host's settings, the method and its gaps, and the command.

use std::collections::HashMap;

use backlog_core::event::Netns;
use backlog_core::model::saturating::saturating;
use backlog_core::settings::Settings;
use backlog_core::text::format::{bytes, plural};
use backlog_core::text::shell::quoted;
use maud::{Markup, html};

use super::context::Run;
use super::shared::{Column, facts, outside, plain, table};

/// The sysctls that limit the queues, by network namespace.
pub(super) fn settings(run: &Run<'_>) -> Markup {
    const COLUMNS: [Column; 5] = [
        Column::Words("Network namespace"),
        Column::Number("net.core.somaxconn"),
        Column::Number("net.ipv4.tcp_max_syn_backlog"),
        Column::Number("net.ipv4.tcp_syncookies"),
        Column::Number("net.ipv4.tcp_abort_on_overflow"),
    ];
    let names = names(run);
    let mut rows: Vec<_> = run
        .model
        .namespaces()
        .into_iter()
        .filter_map(|netns| {
            let settings = run.model.settings_of(netns)?;
            Some(row(namespace(&names, netns), settings))
        })
        .collect();
    if rows.is_empty() {
        rows.push(row("where backlog-trace ran".to_owned(), &run.meta.settings));
    }
    html! {
        section aria-labelledby="settings" {
            h2 #settings { "Settings that bound the queues" }
            (table("Settings", &COLUMNS, &rows))
        }
    }
}

/// Names of namespaces for texts like `4026531840 (host)`: the name that the first listener of each
/// namespace has.
fn names<'a>(run: &Run<'a>) -> HashMap<Netns, &'a str> {
    let listeners = run.summaries.iter().rev().map(|summary| &summary.page.listener);
    listeners.filter_map(|one| Some((one.netns, one.identity.netns.as_deref()?))).collect()
}

fn namespace(names: &HashMap<Netns, &str>, netns: Netns) -> String {
    names.get(&netns).map_or(netns.to_string(), |name| format!("{netns} ({})", outside(name)))
}

fn row(name: String, settings: &Settings) -> Vec<Markup> {
    let Settings { somaxconn, tcp_max_syn_backlog, syncookies, abort_on_overflow, .. } = *settings;
    let show = |value: Option<u32>| plain(value.map_or("?".to_owned(), |value| value.to_string()));
    vec![
        plain(name),
        show(somaxconn),
        show(tcp_max_syn_backlog),
        show(syncookies.map(u32::from)),
        show(abort_on_overflow.map(u32::from)),
    ]
}

/// The method, the gaps, and the cost.
pub(super) fn section(run: &Run<'_>) -> Markup {
    const COLUMNS: [Column; 3] =
        [Column::Words("Moment"), Column::Words("Hook"), Column::Words("Program")];
    let meta = run.meta;
    let rows: Vec<_> = meta
        .hooks
        .iter()
        .map(|hook| vec![plain(&hook.moment), plain(&hook.how), plain(&hook.program)])
        .collect();
    let notices: Vec<&String> = meta.reasons.iter().chain(&meta.gaps).collect();
    let unknown = unknown(run);
    html! {
        section aria-labelledby="measured" {
            h2 #measured { "How it was measured" }
            (facts(&[
                ("Backend", Some(plain(meta.backend.name()))),
                ("Kernel", Some(plain(outside(&meta.kernel)))),
                ("Version", Some(plain(outside(&meta.version)))),
                ("Cost", cost(run)),
            ]))
            h3 { "Notices, and what is not known" }
            @if notices.is_empty() && unknown.is_empty() {
                p { "Nothing was lost, and this kernel hides no event from backlog-trace." }
            } @else {
                ul {
                    @for text in notices { li { (outside(text)) } }
                    @for text in unknown { li { (text) } }
                }
            }
            details {
                summary { "The hooks (" (rows.len()) ")" }
                (table("Hooks", &COLUMNS, &rows))
            }
        }
    }
}

/// What was lost or left out.
fn unknown(run: &Run<'_>) -> Vec<String> {
    let end = run.end;
    let lost = saturating(run.summaries.iter().map(|summary| summary.lost));
    let pending_overflow =
        saturating(run.summaries.iter().map(|one| one.page.totals.pending_overflow));
    let ended = run.model.ended();
    let counts = [
        (
            lost,
            "record",
            "found the ring buffer full: counts and histograms are complete, per-drop lines are missing",
        ),
        (pending_overflow, "connection", "not timed: too many were queued at once"),
        (end.stray.no_slot, "event", "not attributed: the table of listeners was full"),
        (end.stray.closed, "event", "not attributed: their listener had just closed"),
        (end.stray.accepts, "accept", "not attributed: the listener of the connection is unknown"),
        (end.stray.drops, "refused packet", "not attributed: the listener is unknown"),
        (end.stray.hidden, "packet", "may be a drop: first in a namespace not known at the start"),
        (end.decode_errors, "record", "could not be read"),
        (end.missed.unwrap_or(0), "event", "missed by programs that ran already on that CPU"),
        (ended.uncompared, "network namespace", "not compared: ended too soon"),
        (ended.unread_drops, "refused packet", "not compared: after a namespace's last reading"),
        (run.model.clients_forgotten(), "client", "forgotten: a retry counts as another client"),
    ];
    let mut texts: Vec<String> = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, noun, what)| format!("{} {what}.", plural(count, noun)))
        .collect();
    if end.missed.is_none() {
        texts.push("Whether programs missed events is not counted by this kernel.".into());
    }
    texts.extend(end.remarks.iter().map(|text| outside(text) + "."));
    for (time_ns, step_ns) in &run.annotations.steps {
        let seconds = *step_ns as f64 / 1e9;
        let time = run.time(*time_ns, 6);
        texts.push(format!("The wall clock stepped by {seconds:+.3} s at {time}."));
    }
    let further = run.annotations.steps_left_out;
    if further > 0 {
        texts.push(format!("{} of the wall clock not listed.", plural(further, "further step")));
    }
    texts
}

/// The cost of tracing, as far as it is known.
fn cost(run: &Run<'_>) -> Option<Markup> {
    let cost = &run.end.cost;
    let cpu = cost.cpu?;
    let share = cost.percent(cpu.sum_us().saturating_mul(1000));
    let memory = cost.memory.peak.map(|peak| format!(", {} of memory at most", bytes(peak)));
    Some(plain(format!(
        "{:.3} s of CPU time ({share:.2} % of one CPU){}",
        cpu.sum_us() as f64 / 1e6,
        memory.unwrap_or_default(),
    )))
}

/// The command line of the run, quoted for a shell.
pub(super) fn command(run: &Run<'_>) -> Markup {
    let words = std::iter::once("backlog-trace".to_owned())
        .chain(run.meta.options.iter().map(|word| quoted(word)));
    let line = words.collect::<Vec<_>>().join(" ");
    html! {
        section aria-labelledby="command" {
            h2 #command { "The command" }
            pre tabindex="0" { code { (outside(&line)) } }
        }
    }
}
