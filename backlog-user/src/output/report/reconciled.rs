//! The comparison with the kernel's own counters.

use backlog_core::model::reconcile::{self, Account, CounterCheck, reasons};
use maud::{Markup, html};

use super::context::Run;
use super::shared::{Column, plain, table};
use crate::output::reconciled::{Names, unread};

const COLUMNS: [Column; 4] = [
    Column::Words("Counter"),
    Column::Number("Kernel"),
    Column::Number("Seen"),
    Column::Words("Difference, and possible reasons"),
];

/// The section.
pub(super) fn section(run: &Run<'_>) -> Markup {
    let of_listeners: Vec<Vec<Markup>> = run
        .summaries
        .iter()
        .filter_map(|summary| {
            let verdict = reconcile::of_listener(summary.page).filter(CounterCheck::moved)?;
            let name = format!("sk_drops of {}", summary.page.listener.local);
            Some(row(run, &name, &verdict))
        })
        .collect();
    let names = Names::of(&run.end.accounts);
    html! {
        section aria-labelledby="judged" {
            h2 #judged { "Compared with the kernel's own counters" }
            p { "The kernel counts the refusals of a whole network namespace, without listener, \
                cause or moment. Both must agree; where they differ, possible reasons are given." }
            @for Account { netns, verdicts, unread_drops } in &run.end.accounts {
                @let name = names.name(*netns);
                h3 { "Network namespace " (name) }
                @if verdicts.is_empty() {
                    p { "Its counters could not be read, so nothing is compared." }
                } @else {
                    @let rows: Vec<_> =
                        verdicts.iter().map(|one| row(run, one.counter, one)).collect();
                    (table(&format!("Counters of network namespace {name}"), &COLUMNS, &rows))
                    @if *unread_drops > 0 { p { (unread(*unread_drops)) } }
                }
            }
            @if !of_listeners.is_empty() {
                h3 { "Each listener's own count" }
                (table("Counts of the listeners", &COLUMNS, &of_listeners))
            }
        }
    }
}

fn row(run: &Run<'_>, name: &str, verdict: &CounterCheck) -> Vec<Markup> {
    let CounterCheck { counter: _, kernel, seen } = *verdict;
    let difference = i128::from(kernel) - i128::from(seen);
    let why = if difference == 0 {
        "none: both agree".to_owned()
    } else {
        format!("{difference:+}: {}", reasons(verdict, &run.end.blind).join("; or "))
    };
    vec![plain(name), html! { (kernel) }, html! { (seen) }, plain(why)]
}
