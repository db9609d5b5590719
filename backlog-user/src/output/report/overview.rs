//! The table of all listeners, and the groups that share an address.

use backlog_core::model::group::words as groups;
use backlog_core::model::group::{self, Group};
use backlog_core::model::interval::Waits;
use backlog_core::model::summary::Summary;
use backlog_core::text::format::{duration, percent, plural};
use backlog_core::text::owner_text;
use maud::{Markup, html};

use super::context::Run;
use super::order::ROWS;
use super::shared::{Column, plain, table};

/// The table, and a note on what it leaves out.
pub(super) fn section(run: &Run<'_>, ordered: &[Summary<'_>]) -> Markup {
    const COLUMNS: [Column; 10] = [
        Column::Words("Listener"),
        Column::Words("Process"),
        Column::Number("Peak / limit"),
        Column::Number("Use %"),
        Column::Number("Queued"),
        Column::Number("Accepted"),
        Column::Number("Wait p50"),
        Column::Number("Wait p99"),
        Column::Number("Drops"),
        Column::Number("Clients hit"),
    ];
    let rows: Vec<Vec<Markup>> = ordered.iter().take(ROWS).map(row).collect();
    html! {
        section aria-labelledby="listeners" {
            h2 #listeners { "All listeners" }
            @if !rows.is_empty() { (table("All listeners", &COLUMNS, &rows)) }
            @for text in not_shown(run, ordered.len()) { p.note { (text) } }
        }
    }
}

fn row(summary: &Summary<'_>) -> Vec<Markup> {
    let page = summary.page;
    let limit = page.listener.limit;
    let waits = Waits::of(&page.wait);
    let wait = |pick: fn(&Waits) -> u64| {
        plain(waits.as_ref().map_or("–".into(), |waits| duration(pick(waits))))
    };
    let least = if page.has_every_client() { "" } else { "≥ " };
    let clients = format!("{least}{}", page.clients());
    vec![
        html! { (page.name()) @if page.closed.is_some() { " (closed)" } },
        plain(owner_text::process(&page.listener).unwrap_or_else(|| "not known".into())),
        html! { (summary.peak) " / " (limit) },
        html! { (percent(summary.peak, limit)) },
        html! { (page.totals.enqueued) },
        html! { (page.totals.accepted) },
        wait(|waits| waits.p50),
        wait(|waits| waits.p99),
        html! { @if summary.drops > 0 { strong.bad { (summary.drops) } } @else { "0" } },
        plain(clients),
    ]
}

fn not_shown(run: &Run<'_>, listeners: usize) -> Vec<String> {
    let gone = run.model.gone();
    let mut texts = Vec::new();
    if listeners > ROWS {
        let more = (listeners - ROWS) as u64;
        texts.push(format!("{} have no row.", plural(more, "more listener")));
    }
    if gone.idle > 0 {
        let closed = plural(gone.idle, "listener");
        texts.push(format!("{closed} opened and closed without a connection, and have no row."));
    }
    if gone.active > 0 {
        let closed = plural(gone.active, "listener");
        texts.push(format!("{closed} closed early in a long run and were left out."));
    }
    texts
}

/// The `SO_REUSEPORT` groups, if there are any.
pub(super) fn groups(run: &Run<'_>) -> Markup {
    let groups: Vec<Group<'_>> =
        group::groups(run.summaries).filter(|group| groups::is_shown(run.model, group)).collect();
    if groups.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="groups" {
            h2 #groups { "Listeners that share an address" }
            p { "The kernel spreads connections over the members of a SO_REUSEPORT group by a \
                hash, so one may overflow while others idle." }
            @for group in &groups { (of_group(run, group)) }
        }
    }
}

fn of_group(run: &Run<'_>, group: &Group<'_>) -> Markup {
    const COLUMNS: [Column; 7] = [
        Column::Number("Member"),
        Column::Words("Process"),
        Column::Number("Queued"),
        Column::Number("Share %"),
        Column::Number("Peak / limit"),
        Column::Number("Wait p99"),
        Column::Number("Drops"),
    ];
    let Some(first) = group.members.first() else { return html! {} };
    let restarted = if group.replaced { ", before a restart" } else { "" };
    let name = format!("Group {}{restarted}", first.page.listener.local);
    let sum = group.enqueued();
    let rows: Vec<Vec<Markup>> = groups::rows(run.model, group)
        .into_iter()
        .map(|member| {
            let page = member.page;
            let share = page.totals.enqueued as f64 * 100.0 / sum.max(1) as f64;
            let waits = Waits::of(&page.wait);
            vec![
                html! { (page.member) @if page.closed.is_some() { " (closed)" } },
                plain(groups::process(page).unwrap_or_else(|| "not known".into())),
                html! { (page.totals.enqueued) },
                plain(format!("{share:.1}")),
                html! { (member.peak) " / " (page.listener.limit) },
                plain(waits.map_or("–".into(), |waits| duration(waits.p99))),
                html! { (member.drops) },
            ]
        })
        .collect();
    html! {
        h3 { (name) }
        @if let Some(imbalance) = group.imbalance() {
            p { "The busiest member got " (format!("{imbalance:.2}")) " times the mean." }
        }
        (table(&name, &COLUMNS, &rows))
        @if let Some(text) = groups::not_listed(rows.len(), group) { p.note { (text) "." } }
        @for member in &group.members {
            @if let Some(text) = groups::closed(run.model, member.page) { p { (text) "." } }
            @if let Some(found) = run.model.unbalanced(member.page, run.end.time_ns) {
                p { "Unbalanced: " (groups::unbalanced(&found)) "." }
            }
        }
    }
}
