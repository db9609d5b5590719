//! What happened, first of all: a sentence for the run, and for each listener that is drawn
//! what became of its clients, and why.

use backlog_ebpf::cause::Cause;
use maud::{Markup, html};

use super::page::Run;
use super::shared::{peak, plain};
use crate::book::interval::Waits;
use crate::book::summary::Summary;
use crate::view::format::{duration, plural};
use crate::view::{meaning, whose};

/// What is said of one listener.
pub(super) struct Verdict {
    state: State,
    /// The verdict itself.
    headline: String,
    /// What it rests on.
    reasons: Vec<Markup>,
}

/// How it is marked: by a word, and by a colour beside it.
#[derive(Clone, Copy)]
enum State {
    /// Clients were refused.
    Refused,
    /// None was.
    Served,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Refused => "drops",
            Self::Served => "no drops",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Refused => "bad",
            Self::Served => "good",
        }
    }
}

impl Verdict {
    /// On one listener.
    pub(super) fn of(run: &Run<'_>, summary: &Summary<'_>) -> Self {
        let limit = summary.page.listener.limit;
        let mut reasons: Vec<Markup> = causes(summary);
        let peak = peak(run, summary);
        reasons.extend(peak.map(|peak| html! { "The queue held up to " (peak) "." }));
        let page = summary.page;
        let cut = page.listener.call.as_ref().and_then(|call| whose::cut(call, limit));
        reasons.extend(cut.map(|cut| plain(format!("The limit was cut: {cut}."))));
        reasons.extend(Waits::of(&page.wait).map(|waits| {
            plain(format!(
                "Of those accepted, half waited up to {}, 99 of 100 up to {}, the longest {}.",
                duration(waits.p50),
                duration(waits.p99),
                duration(waits.max),
            ))
        }));
        let (state, headline) = if summary.drops == 0 {
            (State::Served, "No packet was refused.".to_owned())
        } else {
            let clients = clients(page.clients, page.totals.unrecorded);
            let packets = plural(summary.drops, "packet");
            let were = if summary.drops == 1 { "was" } else { "were" };
            (State::Refused, format!("{packets} of {clients} {were} refused."))
        };
        Self { state, headline, reasons }
    }

    /// The word and the sentence.
    fn show(&self) -> Markup {
        html! {
            p { strong class=(self.state.class()) { (self.state.word()) } " " (self.headline) }
            @if !self.reasons.is_empty() {
                ul { @for reason in &self.reasons { li { (reason) } } }
            }
        }
    }
}

/// `at least 804 clients`: whose packet is only counted may be another one.
fn clients(clients: u64, only_counted: u64) -> String {
    let least = if only_counted > 0 { "at least " } else { "" };
    format!("{least}{}", plural(clients, "client"))
}

/// What was refused, the most frequent first.
fn causes(summary: &Summary<'_>) -> Vec<Markup> {
    let drops = &summary.page.totals.drops;
    let mut all: Vec<(Cause, u64)> =
        Cause::ALL.into_iter().map(|cause| (cause, drops[cause as usize])).collect();
    all.retain(|(_, count)| *count > 0);
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let line = |(cause, count): (Cause, u64)| {
        html! {
            (count) " × " code { (cause.name()) } " – " (meaning::of_cause(cause)) "."
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
                            (summary.page.listener.local)
                        }
                        @if let Some(process) = whose::process(&summary.page.listener) {
                            " " span.soft { (process) }
                        }
                    }
                    (Verdict::of(run, summary).show())
                }
            }
        }
    }
}

/// The run in a sentence.
fn lead(run: &Run<'_>, ordered: &[Summary<'_>]) -> String {
    let drops: u64 = ordered.iter().map(|summary| summary.drops).sum();
    let gone = run.book.gone();
    let all = ordered.len() as u64 + gone.idle + gone.active;
    if all == 0 {
        return "No listener was seen.".into();
    }
    let listeners = plural(all, "listener");
    // What those had refused that are left out is in no sum of these.
    let rest = if gone.active == 0 {
        String::new()
    } else {
        format!(" Of {} that closed early nothing more is known.", plural(gone.active, "listener"))
    };
    if drops == 0 {
        return format!("No packet was refused at {listeners}.{rest}");
    }
    let refusing = ordered.iter().filter(|summary| summary.drops > 0);
    let attempts: u64 = refusing.clone().map(|summary| summary.page.clients).sum();
    let only_counted: u64 = refusing.clone().map(|summary| summary.page.totals.unrecorded).sum();
    format!(
        "{} of {} were refused at {} of {listeners}.{rest}",
        plural(drops, "packet"),
        clients(attempts, only_counted),
        refusing.count(),
    )
}
