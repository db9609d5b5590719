//! When clients were hit: the runs of drops of one listener, as a table.

use maud::{Markup, html};

use super::page::Run;
use super::shared::{Column, plain, table};
use super::story::Moments;
use crate::book::Refusal;
use crate::book::summary::Summary;
use crate::view::format::{duration, plural};

/// The table; nothing where nothing was refused.
pub(super) fn section(run: &Run<'_>, summary: &Summary<'_>) -> Markup {
    let Some(moments) = run.story.of(summary.page.listener.id) else { return html! {} };
    begun(run, moments)
}

/// The packets that began a run of their cause.
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
        details open[rows.len() <= 20] {
            summary { "Where runs of drops began (" (rows.len()) ")" }
            p { "A run ends when no packet was refused for its cause for a second." }
            (table("Where runs of drops began", &COLUMNS, &rows))
            @if moments.left_out > 0 {
                p.note { (plural(moments.left_out, "more moment")) " not listed." }
            }
        }
    }
}

fn row(run: &Run<'_>, refusal: &Refusal) -> Vec<Markup> {
    let Refusal { time_ns, drop, retry_of_ns, first: _ } = refusal;
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
