//! The first section: a sentence on the run, and for each drawn listener the model's verdict, the
//! outcome of its clients, and the reasons.

use backlog_core::model::interval::Waits;
use backlog_core::model::saturating::saturating;
use backlog_core::model::sizing::{self, Sizing};
use backlog_core::model::summary::Summary;
use backlog_core::text::format::{duration, plural};
use backlog_core::text::owner_text;
use backlog_ebpf::cause::Cause;
use maud::{Markup, html};

use super::context::Run;
use super::shared::{outside, peak, plain};
use crate::output::advice;
use crate::output::advice::still_queued;

/// The verdict on one listener.
pub(super) struct Verdict {
    /// The model's verdict.
    sizing: Sizing,
    /// The reasons, and what else happened.
    reasons: Vec<Markup>,
}

/// The CSS class of a verdict.
fn class(verdict: sizing::Verdict) -> &'static str {
    match verdict {
        sizing::Verdict::Fits => "good",
        sizing::Verdict::NotEnoughData => "open",
        sizing::Verdict::Raise
        | sizing::Verdict::AddWorkers
        | sizing::Verdict::AcceptorStalled
        | sizing::Verdict::Unbalanced => "bad",
    }
}

impl Verdict {
    /// The verdict on a listener.
    pub(super) fn of(run: &Run<'_>, summary: &Summary<'_>) -> Self {
        let page = summary.page;
        let mut reasons = vec![refused(summary)];
        reasons.extend(
            advice::clients(run.model, page, run.end.time_ns).map(|text| html! { (text) "." }),
        );
        reasons.extend(causes(summary));
        reasons.extend(peak(run, summary).map(|peak| html! { "The queue held up to " (peak) "." }));
        let cut =
            page.listener.call.as_ref().and_then(|call| owner_text::cut(call, page.listener.limit));
        reasons.extend(cut.map(|cut| plain(format!("The limit was clamped: {cut}."))));
        reasons.extend(Waits::of(&page.wait).map(|waits| {
            plain(format!(
                "Half of the accepted connections waited up to {}, 99 of 100 up to {}, the \
                 longest {}.",
                duration(waits.p50),
                duration(waits.p99),
                duration(waits.max),
            ))
        }));
        reasons.extend(still_queued(page, run.end.time_ns).map(|text| plain(text + ".")));
        Self { sizing: run.model.sizing(page, run.end.time_ns), reasons }
    }

    /// Renders the verdict, the sentence, and the reasons.
    fn show(&self) -> Markup {
        let Sizing { verdict, confidence, why, .. } = &self.sizing;
        html! {
            p {
                strong class=(class(*verdict)) { (verdict.name().replace('_', " ")) } " "
                (outside(why)) " " span.soft { "(" (confidence.name()) " confidence)." }
            }
            ul { @for reason in &self.reasons { li { (reason) } } }
        }
    }
}

/// The number of refused packets and clients.
fn refused(summary: &Summary<'_>) -> Markup {
    let page = summary.page;
    if summary.drops == 0 {
        return plain("No packet was refused.");
    }
    let clients = clients(page.clients(), page.has_every_client());
    let were = if summary.drops == 1 { "was" } else { "were" };
    plain(format!("{} of {clients} {were} refused.", plural(summary.drops, "packet")))
}

/// For example `at least 804 clients`: packets that were only counted may be from other clients.
fn clients(clients: u64, all: bool) -> String {
    let least = if all { "" } else { "at least " };
    format!("{least}{}", plural(clients, "client"))
}

/// The causes of the drops, the most frequent first.
fn causes(summary: &Summary<'_>) -> Vec<Markup> {
    let drops = &summary.page.totals.drops;
    let mut all: Vec<(Cause, u64)> =
        Cause::ALL.into_iter().map(|cause| (cause, drops[cause as usize])).collect();
    all.retain(|(_, count)| *count > 0);
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let line = |(cause, count): (Cause, u64)| {
        html! {
            (count) " × " code { (cause.name()) } " – " (cause.meaning()) "."
        }
    };
    all.into_iter().map(line).collect()
}

/// The section.
pub(super) fn section(run: &Run<'_>, ordered: &[Summary<'_>], drawn: &[&Summary<'_>]) -> Markup {
    html! {
        section aria-labelledby="verdict" {
            h2 #verdict { "What happened" }
            p.lead { (plain(lead(run, ordered))) }
            @for summary in drawn {
                article.verdict {
                    h3 {
                        a href={ "#l" (summary.page.listener.id.0) } {
                            (summary.page.name())
                        }
                        @if let Some(process) = owner_text::process(&summary.page.listener) {
                            " " span.soft { (process) }
                        }
                    }
                    (Verdict::of(run, summary).show())
                }
            }
        }
    }
}

/// A sentence on the run.
fn lead(run: &Run<'_>, ordered: &[Summary<'_>]) -> String {
    let drops = saturating(ordered.iter().map(|summary| summary.drops));
    let gone = run.model.gone();
    let all = saturating([ordered.len() as u64, gone.idle, gone.active]);
    if all == 0 {
        return "No listener was seen.".into();
    }
    let listeners = plural(all, "listener");
    // Drops at listeners that were left out are not in these sums.
    let rest = if gone.active == 0 {
        String::new()
    } else {
        format!(
            " Nothing more is known about {} that closed early.",
            plural(gone.active, "listener")
        )
    };
    if drops == 0 {
        return format!("No packet was refused at {listeners}.{rest}");
    }
    let refusing = ordered.iter().filter(|summary| summary.drops > 0);
    let attempts = saturating(refusing.clone().map(|summary| summary.page.clients()));
    let all = refusing.clone().all(|summary| summary.page.has_every_client());
    format!(
        "{} of {} were refused at {} of {listeners}.{rest}",
        plural(drops, "packet"),
        clients(attempts, all),
        refusing.count(),
    )
}
