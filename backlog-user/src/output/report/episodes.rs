//! The runs of drops at one listener, as a table.

use backlog_core::model::Refusal;
use backlog_core::model::episode::{Episode, Episodes, NewClients};
use backlog_core::model::summary::Summary;
use backlog_core::text::acceptor;
use backlog_core::text::format::{duration, plural};
use maud::{Markup, html};

use super::annotations::Moments;
use super::context::Run;
use super::shared::{Column, plain, table};

/// The tables; empty if nothing was refused.
pub(super) fn section(run: &Run<'_>, summary: &Summary<'_>) -> Markup {
    let moments = run.annotations.of(summary.page.listener.id);
    html! {
        (episodes(run, &summary.page.episodes))
        @if let Some(moments) = moments { (begun(run, moments)) }
    }
}

/// The episodes, and the state of the acceptors when each began.
fn episodes(run: &Run<'_>, episodes: &Episodes) -> Markup {
    const COLUMNS: [Column; 5] = [
        Column::Words("Episode"),
        Column::Number("Lasted"),
        Column::Number("Packets"),
        Column::Number("New clients"),
        Column::Words("What the acceptor was doing when it began"),
    ];
    let rows: Vec<Vec<Markup>> = episodes.kept().iter().map(|one| episode(run, one)).collect();
    if rows.is_empty() {
        return html! {};
    }
    let more = episodes.count().saturating_sub(rows.len() as u64);
    html! {
        h4 { "Episodes: drops with no gap of a second between two" }
        (table("Episodes", &COLUMNS, &rows))
        @if more > 0 {
            p.note { (plural(more, "episode")) " between the first and the last were not kept." }
        }
    }
}

fn episode(run: &Run<'_>, episode: &Episode) -> Vec<Markup> {
    let Episode { begin_ns, last_ns, packets, acceptor, .. } = episode;
    let clients = match episode.new_clients() {
        NewClients::Exactly(clients) => clients.to_string(),
        NewClients::AtLeast(clients) => format!("at least {clients}"),
        NewClients::Unknown => "unknown".to_owned(),
    };
    let acceptor = acceptor.as_deref().map(acceptor::sentence);
    vec![
        run.moment(*begin_ns),
        plain(duration(last_ns.saturating_sub(*begin_ns) / 1000)),
        html! { (packets) },
        html! { (clients) },
        plain(acceptor.unwrap_or_else(|| "not known".into())),
    ]
}

/// The first packets of each run with the same cause.
fn begun(run: &Run<'_>, moments: &Moments) -> Markup {
    const COLUMNS: [Column; 6] = [
        Column::Words("Began"),
        Column::Words("Cause"),
        Column::Words("Client"),
        Column::Number("Depth / limit"),
        Column::Number("SYN queue"),
        Column::Number("Retry after"),
    ];
    if moments.begun.is_empty() {
        return html! {};
    }
    let rows: Vec<Vec<Markup>> = moments.begun.iter().map(|refusal| row(run, refusal)).collect();
    html! {
        details {
            summary { "The packets that began a run of their cause (" (rows.len()) ")" }
            (table("Packets that began a run", &COLUMNS, &rows))
            @if moments.left_out > 0 {
                p.note { (plural(moments.left_out, "more moment")) " not listed." }
            }
        }
    }
}

fn row(run: &Run<'_>, refusal: &Refusal) -> Vec<Markup> {
    let Refusal { time_ns, drop, retry_of_ns, first: _, episode: _ } = refusal;
    let retry = retry_of_ns
        .map_or("–".into(), |first_ns| duration(time_ns.saturating_sub(first_ns) / 1000));
    vec![
        run.moment(*time_ns),
        plain(drop.cause.name()),
        html! { (drop.client) },
        html! { (drop.depth) " / " (drop.limit) },
        html! { (drop.syn_queue) },
        plain(retry),
    ]
}
