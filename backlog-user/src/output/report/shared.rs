//! Small parts of the page: times, tables, facts, external strings.

use backlog_core::model::summary::Summary;
use backlog_core::text::owner_text;
use maud::{Markup, html};

use super::context::Run;

/// An external string, with characters made visible that move the cursor or reverse text. (The
/// template escapes markup.)
pub(super) fn outside(text: &str) -> String {
    owner_text::safe(text)
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Text, left-aligned.
    Words(&'static str),
    /// Numbers, right-aligned.
    Number(&'static str),
}

/// A table that scrolls on a narrow screen. The first cell of a row is its header.
pub(super) fn table(name: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    let class = |index: usize| match columns.get(index) {
        Some(Column::Number(_)) => Some("n"),
        _ => None,
    };
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table {
                thead { tr {
                    @for column in columns {
                        @match column {
                            Column::Words(title) => { th scope="col" { (title) } }
                            Column::Number(title) => { th.n scope="col" { (title) } }
                        }
                    }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index == 0 {
                                    th class=[class(index)] scope="row" { (cell) }
                                } @else {
                                    td class=[class(index)] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The name of a fact, and its value if known.
pub(super) type Fact = (&'static str, Option<Markup>);

/// A list of facts, without those that are unknown.
pub(super) fn facts(all: &[Fact]) -> Markup {
    html! {
        dl {
            @for (name, value) in all {
                @if let Some(value) = value {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

/// The deepest queue, its limit, and the time. If the limit was changed, the plot shows which one
/// applied.
pub(super) fn peak(run: &Run<'_>, summary: &Summary<'_>) -> Option<Markup> {
    let peak_ns = summary.peak_ns?;
    Some(html! { (summary.peak_of_limit()) ", at " (run.moment(peak_ns)) })
}

/// Plain text as markup.
pub(super) fn plain(text: impl AsRef<str>) -> Markup {
    html! { (text.as_ref()) }
}
